/* SPDX-License-Identifier: Apache-2.0 */
/* verbs_check: command line, TCP side channel, and the two roles. */
#include "verbs_check.h"

#include <errno.h>
#include <getopt.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *role = "?";

void fail(const char *fmt, ...)
{
    va_list args;

    fprintf(stderr, "verbs_check %s: ", role);
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

static void write_all(int fd, const void *buf, size_t len)
{
    const char *p = buf;

    while (len) {
        ssize_t n = write(fd, p, len);

        if (n <= 0)
            fail("the other side is gone: %s", strerror(errno));
        p += n;
        len -= (size_t)n;
    }
}

static void read_all(int fd, void *buf, size_t len)
{
    char *p = buf;

    while (len) {
        ssize_t n = read(fd, p, len);

        if (n <= 0)
            fail("the other side is gone");
        p += n;
        len -= (size_t)n;
    }
}

void sync_sides(struct side *s, uint32_t number)
{
    uint32_t other;

    write_all(s->tcp, &number, sizeof(number));
    read_all(s->tcp, &other, sizeof(other));
    if (other != number)
        fail("sides differ: at %u, other at %u", number, other);
}

static struct addrinfo *resolve(const char *host, int port, int flags)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_flags = flags};
    struct addrinfo *res;
    char service[16];
    int err;

    snprintf(service, sizeof(service), "%d", port);
    err = getaddrinfo(host, service, &hints, &res);
    if (err)
        fail("%s: %s", host ? host : "*", gai_strerror(err));
    return res;
}

static int tcp_listen(int port)
{
    struct addrinfo *ai = resolve("0.0.0.0", port, AI_PASSIVE);
    int one = 1;
    int fd = socket(ai->ai_family, ai->ai_socktype, 0);

    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, ai->ai_addr, ai->ai_addrlen) || listen(fd, 1))
        fail("cannot listen on port %d: %s", port, strerror(errno));
    freeaddrinfo(ai);
    return fd;
}

static int tcp_connect(const char *host, int port)
{
    struct addrinfo *ai = resolve(host, port, 0);
    int one = 1;

    for (int tries = 0; tries < 100; tries++) {
        int fd = socket(ai->ai_family, ai->ai_socktype, 0);

        if (!connect(fd, ai->ai_addr, ai->ai_addrlen)) {
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
            freeaddrinfo(ai);
            return fd;
        }
        close(fd);
        usleep(100000);
    }
    fail("cannot connect to %s port %d: %s", host, port, strerror(errno));
}

static void run(const struct options *opt, bool client, int tcp)
{
    struct side s = {.opt = opt, .client = client, .tcp = tcp};

    role = client ? "client" : "server";
    side_open(&s);
    write_all(tcp, &s.mine, sizeof(s.mine));
    read_all(tcp, &s.peer, sizeof(s.peer));
    side_connect(&s);
    sync_sides(&s, 0);
    run_steps(&s);
    if (opt->errors)
        run_errors(&s);
    sync_sides(&s, 0xffffffff);
    side_close(&s);
    printf("verbs_check %s: %d steps, %llu bytes compared, no difference\n", role, opt->steps,
           (unsigned long long)s.bytes);
}

static int run_self(const struct options *opt)
{
    int fd[2], status = 0;
    pid_t child;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd))
        fail("socketpair: %s", strerror(errno));
    child = fork();
    if (!child) {
        close(fd[0]);
        run(opt, false, fd[1]);
        return 0;
    }
    close(fd[1]);
    run(opt, true, fd[0]);
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static int run_server(const struct options *opt)
{
    int listener = tcp_listen(opt->port);
    int one = 1;
    int fd = accept(listener, NULL, NULL);

    if (fd < 0)
        fail("accept: %s", strerror(errno));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    close(listener);
    run(opt, false, fd);
    return 0;
}

static void usage(void)
{
    puts("verbs_check [options] [HOST]   client of HOST, or server without HOST\n"
         "  -d DEV    RDMA device (first one)      -g INDEX  GID index (first RoCE v2 IPv4)\n"
         "  -6        first RoCE v2 GID of IPv6 that is not link-local\n"
         "  -t TYPE   RC (default) or UC           -M BYTES  path MTU (4096)\n"
         "  -P N      pieces of every scatter list, of which some are empty (1 to 8, drawn)\n"
         "  -I BYTES  largest inline message (256)\n"
         "  -p PORT   TCP port (18516)             -q N      queue pairs (1)\n"
         "  -n STEPS  (300)                        -m BYTES  largest message (1 MiB + 1)\n"
         "  -S SEED   (1)                          -o OPS    e.g. SEND,WRITE,READ,CAS,FAA,UD\n"
         "  -L        both sides here, one process forks\n"
         "  -s        receives from an SRQ         -e        wait by completion channel\n"
         "  -E        provoke errors at the end    -v        tell every step\n"
         "Both sides must be given the same options.");
}

/* 0 when there is no such path MTU */
static enum ibv_mtu mtu_of(unsigned long bytes)
{
    for (int mtu = IBV_MTU_256; mtu <= IBV_MTU_4096; mtu++)
        if (128ul << mtu == bytes)
            return mtu;
    return 0;
}

/* 0 for what is neither RC nor UC */
static enum ibv_qp_type type_of(const char *name)
{
    return !strcmp(name, "RC") ? IBV_QPT_RC : !strcmp(name, "UC") ? IBV_QPT_UC : 0;
}

static bool sound(const struct options *opt)
{
    return opt->qps >= 1 && opt->qps <= MAX_QP && opt->max_size <= REGION / 2 && opt->mtu &&
           opt->type && opt->pieces >= 0 && opt->pieces <= MAX_PIECE &&
           any_op_wanted(opt) && !(opt->type == IBV_QPT_UC && (opt->srq || opt->errors));
}

int main(int argc, char **argv)
{
    struct options opt = {.gid_index = -1,
                          .type = IBV_QPT_RC,
                          .mtu = IBV_MTU_4096,
                          .inline_size = 256,
                          .port = 18516,
                          .qps = 1,
                          .steps = 300,
                          .max_size = (1u << 20) + 1,
                          .seed = 1};
    int c;

    while ((c = getopt(argc, argv, "d:g:6t:M:P:I:p:q:n:m:S:o:LseEvh")) != -1) {
        switch (c) {
        case 'd': opt.device = optarg; break;
        case 'g': opt.gid_index = atoi(optarg); break;
        case '6': opt.ipv6 = true; break;
        case 't': opt.type = type_of(optarg); break;
        case 'M': opt.mtu = mtu_of(strtoul(optarg, NULL, 0)); break;
        case 'P': opt.pieces = atoi(optarg); break;
        case 'I': opt.inline_size = (uint32_t)strtoul(optarg, NULL, 0); break;
        case 'p': opt.port = atoi(optarg); break;
        case 'q': opt.qps = atoi(optarg); break;
        case 'n': opt.steps = atoi(optarg); break;
        case 'm': opt.max_size = (uint32_t)strtoul(optarg, NULL, 0); break;
        case 'S': opt.seed = strtoull(optarg, NULL, 0); break;
        case 'o': opt.ops = optarg; break;
        case 'L': opt.self = true; break;
        case 's': opt.srq = true; break;
        case 'e': opt.events = true; break;
        case 'E': opt.errors = true; break;
        case 'v': opt.verbose = true; break;
        default: usage(); return c == 'h' ? 0 : 2;
        }
    }
    if (!sound(&opt)) {
        usage();
        return 2;
    }
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (opt.self)
        return run_self(&opt);
    opt.peer = optind < argc ? argv[optind] : NULL;
    if (!opt.peer)
        return run_server(&opt);
    run(&opt, true, tcp_connect(opt.peer, opt.port));
    return 0;
}
