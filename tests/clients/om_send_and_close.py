"""An OM application that does not care for the answer: it sends its command and closes.

python3 om_send_and_close.py HOST PORT < COMMAND.xml
Prints nothing.
"""
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
body = sys.stdin.buffer.read()

sock = socket.create_connection((host, port), timeout=20)
sock.sendall(
    b"POST /xml HTTP/1.0\r\nContent-Type: text/html\r\nContent-Length: %d\r\n\r\n" % len(body) + body
)
sock.close()
