"""An OM application that speaks HTTP/1.0, shuts its side after the command, and reads to the end.

python3 om_half_close.py HOST PORT < COMMAND.xml
Prints what it received, head and all.
"""
import socket
import sys

host, port = sys.argv[1], int(sys.argv[2])
body = sys.stdin.buffer.read()

sock = socket.create_connection((host, port), timeout=20)
sock.sendall(
    b"POST /xml HTTP/1.0\r\nHost: %s\r\nConnection: close\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n"
    % (host.encode(), len(body))
    + body
)
sock.shutdown(socket.SHUT_WR)
while True:
    piece = sock.recv(4096)
    if not piece:
        break
    sys.stdout.buffer.write(piece)
sock.close()
