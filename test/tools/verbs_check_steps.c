/* SPDX-License-Identifier: Apache-2.0 */
/* verbs_check: the steps, and comparing what arrived. */
#include "verbs_check.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QKEY        0x11111111
#define UD_MTU      4096
#define GRH         40
#define FEW_PIECES  8        /* of a list whose length is drawn */
#define EMPTY_ONE_IN 6       /* pieces of a list of many */
#define WAIT_MS     20000

static const uint32_t sizes[] = {0,    1,    2,    7,    8,     63,    64,     65,    255,  256,
                                 257,  511,  512,  513,  1023,  1024,  1025,   2047,  2048, 2049,
                                 4095, 4096, 4097, 6000, 8191,  8192,  8193,   65535, 65536, 65537,
                                 131072, 262143};

static const char *const names[OPS] = {"SEND", "SEND_IMM", "WRITE", "WRITE_IMM",
                                       "READ", "CAS",      "FAA",   "UD"};

/* splitmix64: the same numbers on both sides */
static uint64_t next(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;

    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(uint64_t *state, uint32_t n)
{
    return (uint32_t)(next(state) % n);
}

/* byte @i of the message of a step */
static uint8_t pattern(uint64_t key, uint32_t i)
{
    uint64_t state = key + i / 8;

    return (uint8_t)(next(&state) >> 8 * (i % 8));
}

static bool is_atomic(enum op op)
{
    return op == OP_CAS || op == OP_FAA;
}

/* what is remote is one range */
static bool has_target(enum op op)
{
    return is_atomic(op) || op == OP_WRITE || op == OP_WRITE_IMM || op == OP_READ;
}

static bool op_wanted(const struct options *opt, enum op op)
{
    const char *p = opt->ops;
    size_t len = strlen(names[op]);

    if (opt->type == IBV_QPT_UC && (op == OP_READ || is_atomic(op)))
        return false;
    if (!p)
        return true;
    for (; *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == len && !strncmp(p, names[op], len))
            return true;
    return false;
}

bool any_op_wanted(const struct options *opt)
{
    for (enum op op = 0; op < OPS; op++)
        if (op_wanted(opt, op))
            return true;
    return false;
}

/* uneven ones, of which some are empty */
static void draw_lengths(uint64_t *rng, struct layout *l)
{
    uint32_t cut[MAX_PIECE + 1] = {0};
    int i, k;

    for (i = 1; i < l->n; i++) {
        uint32_t at = below(rng, l->total + 1);

        for (k = i; k > 1 && cut[k - 1] > at; k--)
            cut[k] = cut[k - 1];
        cut[k] = at;
    }
    for (i = 1; i < l->n; i++)
        if (!below(rng, EMPTY_ONE_IN))
            cut[i] = cut[i - 1];
    cut[l->n] = l->total;
    for (i = 0; i < l->n; i++)
        l->p[i].len = cut[i + 1] - cut[i];
}

/* disjoint pieces with gaps between them, upwards or downwards */
static void draw_places(uint64_t *rng, struct layout *l)
{
    uint32_t spare = REGION - 8192 - l->total - (uint32_t)l->n * 2 * GUARD;
    bool down = below(rng, 2);
    uint32_t at = 0;

    for (int i = 0; i < l->n; i++) {
        struct piece *p = &l->p[down ? l->n - 1 - i : i];

        at += below(rng, spare / (uint32_t)l->n) + GUARD;
        p->off = at;
        at += p->len + GUARD;
    }
}

static struct layout make_layout(uint64_t *rng, uint32_t total, int n)
{
    struct layout l = {.n = n, .total = total};

    draw_lengths(rng, &l);
    draw_places(rng, &l);
    return l;
}

static int draw_pieces(const struct side *s, uint64_t *rng, int most)
{
    int n = s->opt->pieces ? s->opt->pieces : 1 + (int)below(rng, FEW_PIECES);

    return n < most ? n : most;
}

static uint32_t draw_size(const struct side *s, uint64_t *rng, enum op op)
{
    uint32_t size = below(rng, 3) ? sizes[below(rng, sizeof(sizes) / sizeof(*sizes))]
                                  : below(rng, s->opt->max_size) + 1;

    if (is_atomic(op))
        return 8;
    if (size > s->opt->max_size)
        size = s->opt->max_size;
    return op == OP_UD ? size % (UD_MTU + 1) : size;
}

static struct step make_step(const struct side *s, int number)
{
    uint64_t rng = s->opt->seed * 1000003 + (uint64_t)number;
    struct step st = {.number = number, .qp = number % s->opt->qps};
    int client_pieces, server_pieces;

    do
        st.op = below(&rng, OPS);
    while (!op_wanted(s->opt, st.op));
    st.size = draw_size(s, &rng, st.op);
    st.in_line = below(&rng, 2) && st.size <= s->opt->inline_size && !is_atomic(st.op) &&
                 st.op != OP_READ;
    st.bell = s->opt->type == IBV_QPT_UC && st.op == OP_WRITE;
    client_pieces = draw_pieces(s, &rng, is_atomic(st.op) ? 1 : MAX_PIECE);
    server_pieces = draw_pieces(s, &rng, has_target(st.op) ? 1 :
                                         st.op == OP_UD    ? MAX_UD_PIECE : MAX_PIECE);
    st.client = make_layout(&rng, st.size, client_pieces);
    st.server = make_layout(&rng, st.size, server_pieces);
    st.pattern = next(&rng);
    return st;
}

/* ---- memory ---------------------------------------------------------------- */

static void put_message(struct side *s, const struct layout *l, uint64_t key)
{
    uint32_t at = 0;

    for (int i = 0; i < l->n; i++)
        for (uint32_t k = 0; k < l->p[i].len; k++)
            s->buf[l->p[i].off + k] = pattern(key, at++);
}

static void put_background(struct side *s, const struct layout *l)
{
    for (int i = 0; i < l->n; i++)
        memset(s->buf + l->p[i].off - GUARD, BACKGROUND, l->p[i].len + 2 * GUARD);
}

static void compare(struct side *s, const struct step *st, const struct layout *l)
{
    uint32_t at = 0;

    for (int i = 0; i < l->n; i++) {
        const uint8_t *p = s->buf + l->p[i].off;
        uint32_t len = l->p[i].len;

        for (uint32_t k = 0; k < len; k++, at++)
            if (p[k] != pattern(st->pattern, at))
                fail("step %d %s size %u: byte %u (piece %d+%u) is %02x, not %02x", st->number,
                     names[st->op], st->size, at, i, k, p[k], pattern(st->pattern, at));
        for (uint32_t k = 0; k < GUARD; k++)
            if (p[-1 - (int)k] != BACKGROUND || p[len + k] != BACKGROUND)
                fail("step %d %s size %u: bytes around piece %d were written", st->number,
                     names[st->op], st->size, i);
    }
    s->bytes += l->total;
}

static int make_sges(struct side *s, const struct layout *l, struct ibv_sge *sge)
{
    for (int i = 0; i < l->n; i++) {
        sge[i].addr = (uintptr_t)(s->buf + l->p[i].off);
        sge[i].length = l->p[i].len;
        sge[i].lkey = s->mr->lkey;
    }
    return l->n;
}

/* ---- completions ------------------------------------------------------------- */

static uint64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void wait_event(struct side *s)
{
    struct pollfd pfd = {.fd = s->channel->fd, .events = POLLIN};
    struct ibv_cq *cq;
    void *context;

    if (poll(&pfd, 1, WAIT_MS) != 1)
        fail("no completion event");
    if (ibv_get_cq_event(s->channel, &cq, &context))
        fail("ibv_get_cq_event: %m");
    ibv_ack_cq_events(cq, 1);
}

static struct ibv_wc wait_wc(struct side *s, const char *what)
{
    uint64_t end = now_ms() + WAIT_MS;
    struct ibv_wc wc;

    for (;;) {
        int n = ibv_poll_cq(s->cq, 1, &wc);

        if (n > 0)
            return wc;
        if (n < 0)
            fail("ibv_poll_cq");
        if (now_ms() > end)
            fail("%s: no completion", what);
        if (!s->opt->events)
            continue;
        if (ibv_req_notify_cq(s->cq, 0))
            fail("ibv_req_notify_cq: %m");
        n = ibv_poll_cq(s->cq, 1, &wc);
        if (n > 0)
            return wc;
        wait_event(s);
    }
}

static struct ibv_wc wait_ok(struct side *s, const struct step *st, uint64_t wr_id)
{
    struct ibv_wc wc = wait_wc(s, names[st->op]);

    if (wc.status != IBV_WC_SUCCESS)
        fail("step %d %s size %u: %s", st->number, names[st->op], st->size,
             ibv_wc_status_str(wc.status));
    if (wc.wr_id != wr_id)
        fail("step %d: wr_id %llx", st->number, (unsigned long long)wc.wr_id);
    return wc;
}

/* ---- server ------------------------------------------------------------------- */

/* RDMA goes to one place in the server's region; atomics to an aligned one */
static uint64_t target(const struct side *s, const struct step *st)
{
    uint64_t addr = s->client ? s->peer.addr : s->mine.addr;

    addr += st->server.p[0].off;
    return is_atomic(st->op) ? (addr + 7) & ~7ull : addr;
}

static void post_recv(struct side *s, const struct step *st)
{
    struct ibv_sge sge[MAX_PIECE];
    struct ibv_recv_wr wr = {.wr_id = (uint64_t)st->number, .sg_list = sge}, *bad;
    int n = 0;

    if (st->op == OP_UD) {
        sge[n].addr = (uintptr_t)(s->buf + REGION - 4096);
        sge[n].length = GRH;
        sge[n++].lkey = s->mr->lkey;
    }
    if (st->op != OP_WRITE_IMM && !st->bell)
        n += make_sges(s, &st->server, sge + n);
    wr.num_sge = n;
    if (st->op == OP_UD ? ibv_post_recv(s->ud, &wr, &bad)
        : s->srq        ? ibv_post_srq_recv(s->srq, &wr, &bad)
                        : ibv_post_recv(s->qp[st->qp], &wr, &bad))
        fail("post_recv: %m");
}

static bool ipv6_gid(const uint8_t *gid)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

    return memcmp(gid, mapped, sizeof(mapped)) != 0;
}

static void check_grh(const struct side *s)
{
    const uint8_t *grh = s->buf + REGION - 4096;

    if (ipv6_gid(s->mine.gid)) {
        if (grh[0] >> 4 != 6 || memcmp(grh + 8, s->peer.gid, 16) ||
            memcmp(grh + 24, s->mine.gid, 16))
            fail("GRH is no IPv6 header from the peer to us");
        return;
    }
    if (grh[20] != 0x45 || memcmp(grh + 32, s->peer.gid + 12, 4) ||
        memcmp(grh + 36, s->mine.gid + 12, 4))
        fail("GRH holds no IPv4 header from the peer to us");
}

static void check_recv(struct side *s, const struct step *st)
{
    struct ibv_wc wc = wait_ok(s, st, (uint64_t)st->number);
    bool imm = st->op == OP_SEND_IMM || st->op == OP_WRITE_IMM;
    uint32_t len = st->bell ? 0 : st->size + (st->op == OP_UD ? GRH : 0);

    if (wc.byte_len != len)
        fail("step %d %s: byte_len %u, not %u", st->number, names[st->op], wc.byte_len, len);
    if (imm != !!(wc.wc_flags & IBV_WC_WITH_IMM) || (imm && wc.imm_data != (uint32_t)st->pattern))
        fail("step %d %s: immediate", st->number, names[st->op]);
    if (wc.opcode != (st->op == OP_WRITE_IMM ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV))
        fail("step %d %s: opcode %d", st->number, names[st->op], wc.opcode);
    if (wc.qp_num != (st->op == OP_UD ? s->ud : s->qp[st->qp])->qp_num)
        fail("step %d: qp_num", st->number);
    if (st->op != OP_UD)
        return;
    if (!(wc.wc_flags & IBV_WC_GRH) || wc.src_qp != s->peer.ud_qpn)
        fail("step %d UD: flags %x src_qp %x", st->number, wc.wc_flags, wc.src_qp);
    check_grh(s);
}

static bool takes_recv(const struct step *st)
{
    return st->op == OP_SEND || st->op == OP_SEND_IMM || st->op == OP_WRITE_IMM ||
           st->op == OP_UD || st->bell;
}

static void server_step(struct side *s, const struct step *st)
{
    uint64_t *word = (uint64_t *)(uintptr_t)target(s, st);
    bool atomic = is_atomic(st->op);

    put_background(s, &st->server);
    if (st->op == OP_READ)
        put_message(s, &st->server, st->pattern);
    if (atomic)
        *word = st->pattern;
    if (takes_recv(st))
        post_recv(s, st);
    sync_sides(s, (uint32_t)st->number * 2 + 1);
    if (takes_recv(st))
        check_recv(s, st);
    sync_sides(s, (uint32_t)st->number * 2 + 2);
    if (!atomic)
        compare(s, st, &st->server);
    else if (*word != (st->op == OP_CAS ? ~st->pattern : st->pattern + 12345))
        fail("step %d %s: word is %llx", st->number, names[st->op], (unsigned long long)*word);
}

/* ---- client ------------------------------------------------------------------- */

static void post_send(struct side *s, const struct step *st)
{
    static const enum ibv_wr_opcode opcode[OPS] = {
        IBV_WR_SEND,      IBV_WR_SEND_WITH_IMM,      IBV_WR_RDMA_WRITE,
        IBV_WR_RDMA_WRITE_WITH_IMM, IBV_WR_RDMA_READ, IBV_WR_ATOMIC_CMP_AND_SWP,
        IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_SEND};
    struct ibv_sge sge[MAX_PIECE];
    struct ibv_send_wr wr = {.wr_id = (uint64_t)st->number | 1ull << 32,
                             .sg_list = sge,
                             .num_sge = make_sges(s, &st->client, sge),
                             .opcode = opcode[st->op],
                             .send_flags = IBV_SEND_SIGNALED},
                       *bad;

    if (st->in_line)
        wr.send_flags |= IBV_SEND_INLINE;
    wr.imm_data = (uint32_t)st->pattern;
    if (is_atomic(st->op)) {
        wr.wr.atomic.remote_addr = target(s, st);
        wr.wr.atomic.rkey = s->peer.rkey;
        wr.wr.atomic.compare_add = st->op == OP_CAS ? st->pattern : 12345;
        wr.wr.atomic.swap = ~st->pattern;
    } else if (st->op == OP_UD) {
        wr.wr.ud.ah = s->ah;
        wr.wr.ud.remote_qpn = s->peer.ud_qpn;
        wr.wr.ud.remote_qkey = QKEY;
    } else {
        wr.wr.rdma.remote_addr = target(s, st);
        wr.wr.rdma.rkey = s->peer.rkey;
    }
    if (ibv_post_send(st->op == OP_UD ? s->ud : s->qp[st->qp], &wr, &bad))
        fail("step %d: ibv_post_send: %m", st->number);
}

/* follows a WRITE on its QP, so it arrives after it */
static void ring_bell(struct side *s, const struct step *st)
{
    struct ibv_send_wr wr = {.wr_id = (uint64_t)st->number | 1ull << 32,
                             .opcode = IBV_WR_SEND,
                             .send_flags = IBV_SEND_SIGNALED},
                       *bad;

    if (ibv_post_send(s->qp[st->qp], &wr, &bad))
        fail("step %d: ibv_post_send of an empty message: %m", st->number);
    wait_ok(s, st, wr.wr_id);
}

static void client_step(struct side *s, const struct step *st)
{
    bool atomic = is_atomic(st->op);
    uint64_t before;

    put_background(s, &st->client);
    if (!atomic && st->op != OP_READ)
        put_message(s, &st->client, st->pattern);
    sync_sides(s, (uint32_t)st->number * 2 + 1);
    post_send(s, st);
    wait_ok(s, st, (uint64_t)st->number | 1ull << 32);
    if (st->bell)
        ring_bell(s, st);
    sync_sides(s, (uint32_t)st->number * 2 + 2);
    if (!atomic) {
        compare(s, st, &st->client);
        return;
    }
    memcpy(&before, s->buf + st->client.p[0].off, 8);
    if (before != st->pattern)
        fail("step %d %s: old value %llx", st->number, names[st->op], (unsigned long long)before);
    s->bytes += 8;
}

void run_steps(struct side *s)
{
    for (int i = 0; i < s->opt->steps; i++) {
        struct step st = make_step(s, i);

        if (s->opt->verbose)
            printf("step %d %s size %u sges %d -> %d qp %d%s\n", i, names[st.op], st.size,
                   st.client.n, st.server.n, st.qp, st.in_line ? " inline" : "");
        if (s->client)
            client_step(s, &st);
        else
            server_step(s, &st);
    }
}

/* ---- errors ------------------------------------------------------------------- */

/* a WRITE with a wrong key: refused, QP in ERR, later requests flushed */
void run_errors(struct side *s)
{
    struct ibv_sge sge = {.addr = (uintptr_t)s->buf, .length = 64, .lkey = s->mr->lkey};
    struct ibv_send_wr wr = {.wr_id = 1,
                             .sg_list = &sge,
                             .num_sge = 1,
                             .opcode = IBV_WR_RDMA_WRITE,
                             .send_flags = IBV_SEND_SIGNALED},
                       *bad;
    struct ibv_qp_init_attr init;
    struct ibv_qp_attr attr;
    struct ibv_wc wc;

    memset(s->buf, BACKGROUND, 64);
    sync_sides(s, 0xfffffff0);
    if (s->client) {
        wr.wr.rdma.remote_addr = s->peer.addr;
        wr.wr.rdma.rkey = s->peer.rkey ^ 0x55;
        memset(s->buf, 0, 64);
        if (ibv_post_send(s->qp[0], &wr, &bad))
            fail("ibv_post_send: %m");
        wc = wait_wc(s, "wrong rkey");
        if (wc.status != IBV_WC_REM_ACCESS_ERR)
            fail("wrong rkey: %s", ibv_wc_status_str(wc.status));
        if (ibv_query_qp(s->qp[0], &attr, IBV_QP_STATE, &init) || attr.qp_state != IBV_QPS_ERR)
            fail("wrong rkey: QP is not in ERR");
        wr.wr_id = 2;
        if (ibv_post_send(s->qp[0], &wr, &bad))
            fail("ibv_post_send in ERR: %m");
        wc = wait_wc(s, "flush");
        if (wc.status != IBV_WC_WR_FLUSH_ERR || wc.wr_id != 2)
            fail("flush: %s", ibv_wc_status_str(wc.status));
    }
    sync_sides(s, 0xfffffff1);
    for (int i = 0; i < 64 && !s->client; i++)
        if (s->buf[i] != BACKGROUND)
            fail("a refused WRITE changed memory");
}
