# An OM application as they are written in Ruby: a raw socket, a head with bare line feeds, one recv of 1024 bytes.
#
# ruby om_client.rb HOST PORT < COMMAND.xml
# Prints what it received, head and all.
require "socket"

host, port = ARGV
body = $stdin.binmode.read

socket = TCPSocket.new(host, port.to_i)
socket.write("POST /xml HTTP/1.1\n" \
             "Content-Type: text/html\n" \
             "Content-Length: #{body.bytesize}\n" \
             "\n" + body)
$stdout.binmode.write(socket.recv(1024))
socket.close
