/* An OM application as they are written in C: one socket, a head with bare line feeds, one recv.
 *
 * om_client HOST PORT < COMMAND.xml
 * Prints what it received, head and all. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    static char body[8192], request[10240], answer[10240];
    struct sockaddr_in server;
    size_t length;
    ssize_t received;
    int sock, n;

    if (argc != 3) {
        fprintf(stderr, "usage: %s HOST PORT < COMMAND.xml\n", argv[0]);
        return 2;
    }
    length = fread(body, 1, sizeof body - 1, stdin);
    n = snprintf(request, sizeof request,
                 "POST /xml HTTP/1.1\n"
                 "Content-Type:text/html\n"
                 "Host:%s:%s\n"
                 "Content-Length:%zu\n"
                 "\n"
                 "%s",
                 argv[1], argv[2], length, body);
    if (n < 0 || (size_t)n >= sizeof request)
        return 1;

    sock = socket(AF_INET, SOCK_STREAM, 0);
    memset(&server, 0, sizeof server);
    server.sin_family = AF_INET;
    server.sin_port = htons((unsigned short)atoi(argv[2]));
    if (sock < 0 || inet_pton(AF_INET, argv[1], &server.sin_addr) != 1 ||
        connect(sock, (struct sockaddr *)&server, sizeof server) < 0) {
        perror("connect");
        return 1;
    }
    if (send(sock, request, (size_t)n, 0) != n) {
        perror("send");
        return 1;
    }
    received = recv(sock, answer, sizeof answer, 0);
    if (received < 0) {
        perror("recv");
        return 1;
    }
    fwrite(answer, 1, (size_t)received, stdout);
    close(sock);
    return 0;
}
