"""An OM application as they are written in Python: an HTTP client that means to keep its connection.

python3 om_client.py HOST PORT [TIMES] < COMMAND.xml
Sends the command so many times, over one connection if the server keeps it. Sends no Content-Type. Prints the status,
the headers and the body of each answer.
"""
import http.client
import sys

host, port = sys.argv[1], int(sys.argv[2])
times = int(sys.argv[3]) if len(sys.argv) > 3 else 1
body = sys.stdin.buffer.read()
out = sys.stdout.buffer

connection = http.client.HTTPConnection(host, port, timeout=20)
for _ in range(times):
    connection.request(
        "POST",
        "/xml",
        body,
        {"User-Agent": "python-requests/2.22.0", "Accept-Encoding": "gzip, deflate", "Accept": "*/*", "Connection": "keep-alive"},
    )
    answer = connection.getresponse()
    out.write(b"%d %d %s\n" % (answer.version, answer.status, answer.reason.encode()))
    for name, value in answer.getheaders():
        out.write(b"%s: %s\n" % (name.encode(), value.encode()))
    out.write(answer.read())
connection.close()
