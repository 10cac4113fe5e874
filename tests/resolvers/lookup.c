// Asks the resolver of the C library this is built with: prints each address of a name once, or why there is none.
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

int main(int count, char **words) {
    if (count != 3) {
        fprintf(stderr, "usage: lookup 4|6|any NAME\n");
        return 2;
    }
    struct addrinfo wanted, *all;
    memset(&wanted, 0, sizeof wanted);
    wanted.ai_family = words[1][0] == '4' ? AF_INET : words[1][0] == '6' ? AF_INET6 : AF_UNSPEC;
    wanted.ai_socktype = SOCK_STREAM;
    int problem = getaddrinfo(words[2], NULL, &wanted, &all);
    if (problem) {
        // Of old libraries, "no address of this family" is a number of its own.
        puts(problem == EAI_AGAIN ? "again" : "none");
        return 0;
    }
    for (struct addrinfo *one = all; one; one = one->ai_next) {
        char text[INET6_ADDRSTRLEN];
        if (getnameinfo(one->ai_addr, one->ai_addrlen, text, sizeof text, NULL, 0, NI_NUMERICHOST) == 0)
            puts(text);
    }
    freeaddrinfo(all);
    return 0;
}
