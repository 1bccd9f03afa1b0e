// SPDX-License-Identifier: Apache-2.0
// ns per train and per packet of the trunk: building, sending, receiving, acking.
#include <benchmark/benchmark.h>

#include <array>
#include <cstring>
#include <vector>

extern "C" {
#include "opcode.h"
#include "trunk.h"
}

namespace {

/// Two ends on one thread; frames go from xmit straight into the receiver.
struct Loop {
    tbib_tx tx;
    tbib_rx rx;
    std::vector<tbib_rx_slot> slots = std::vector<tbib_rx_slot>(TBIB_RX_SLOTS);
    std::vector<tbib_train> trains = std::vector<tbib_train>(TBIB_WINDOW * 2);
    std::vector<std::array<u8, TBIB_FRAME_SIZE>> memory =
        std::vector<std::array<u8, TBIB_FRAME_SIZE>>(TBIB_WINDOW * 2);
    std::vector<tbib_train *> free;
    std::array<u8, TBIB_FRAME_SIZE> page{};
    unsigned packets, payload, raws, left = 0;
    u64 delivered = 0;
    u32 flags = 0;
    bool connect;

    Loop(unsigned packets_, unsigned payload_, unsigned raws_, bool connect_ = true)
        : packets(packets_), payload(payload_), raws(raws_), connect(connect_)
    {
        static const tbib_tx_ops tx_ops = {room, xmit, pull, release};
        static const tbib_rx_ops rx_ops = {deliver, ack, put, bye};
        tbib_tx_init(&tx, &tx_ops);
        tbib_rx_init(&rx, &rx_ops, slots.data(), TBIB_RX_SLOTS);
        tbib_rx_ring_up(&rx, 0, 1, 0, 256);
        tbib_tx_ring_up(&tx, 0, 1, 1, 0, 3, tbib_rx_limit(&rx, 0), 100);
        for (size_t i = 0; i < trains.size(); i++) {
            trains[i].hdr = memory[i].data();
            free.push_back(&trains[i]);
        }
        self = this;
    }

    static inline Loop *self;

    static u32 room(tbib_tx *, unsigned) { return 200; }
    static tbib_train *pull(tbib_tx *, unsigned lane)
    {
        Loop &l = *self;
        if (!l.left)
            return nullptr;
        l.left--;
        tbib_train *t = l.free.back();
        l.free.pop_back();
        tbib_train_init(t, 2, 1, 7, static_cast<u8>(lane));
        for (unsigned i = 0; i < l.packets; i++) {
            u32 ool = i ? 0 : l.raws * TBIB_FRAME_SIZE;
            u8 *p = tbib_train_add(t, TBIB_PKT_TRANSPORT, 0, TBIB_BTH_LEN + l.payload,
                                   ool > 0xffff ? 0xffff : ool);
            tbib_bth b{};
            b.opcode = TBIB_OP_SEND_ONLY;
            b.psn = i;
            tbib_bth_encode(p, &b);
            std::memset(p + TBIB_BTH_LEN, 0x55, l.payload);
        }
        for (unsigned i = 0; i < l.raws; i++) {
            tbib_raw raw{l.page.data(), nullptr, 0, TBIB_FRAME_SIZE, 0};
            tbib_train_add_raw(t, &raw);
        }
        return t;
    }
    static void xmit(tbib_tx *tx, unsigned ring, tbib_train *t, u32 len)
    {
        Loop &l = *self;
        if (l.connect) {
            tbib_rx_buf buf{t->hdr, t->hdr, static_cast<u16>(len), TBIB_PDF_HEADER, false};
            l.flags |= tbib_rx_frame(&l.rx, ring, &buf);
            for (int i = 0; i < t->n_raw; i++) {
                buf = {l.page.data(), l.page.data(), TBIB_FRAME_SIZE,
                       static_cast<u8>(TBIB_PDF_RAW(t->tag)), false};
                l.flags |= tbib_rx_frame(&l.rx, ring, &buf);
            }
        }
        for (int n = t->posted; n; n--)
            tbib_tx_frame_done(tx, t);
    }
    static void release(tbib_tx *, tbib_train *t, bool) { self->free.push_back(t); }
    static void deliver(tbib_rx *rx, tbib_rx_train *t)
    {
        tbib_pkt_iter it;
        tbib_pkt p;
        tbib_bth b;
        tbib_pkt_iter_init(&it, t);
        while (tbib_pkt_next(&it, &p) == 1)
            if (!tbib_bth_decode(p.inl, p.inl_len, false, &b))
                self->delivered++;
        tbib_rx_train_free(rx, t);
    }
    static void ack(tbib_rx *, const tbib_ack *) {}
    static void put(tbib_rx *, void *) {}
    static void bye(tbib_rx *, unsigned) {}

    /// @n trains, an ack when the receiver wants one
    void run(unsigned n)
    {
        left = n;
        while (left) {
            tbib_tx_run(&tx, 1, 8);
            if (!connect || flags & TBIB_RX_ACK_NOW)
                acked();
        }
        acked();
    }

    void acked()
    {
        tbib_ack a{};
        if (connect) {
            tbib_rx_ack(&rx, &a);
        } else {
            a.lanes = 3;
            a.full = true;
            a.next[0] = tx.lane[0].next_seq;
            a.next[1] = tx.lane[1].next_seq;
            a.n_ring = 1;
            a.ring[0] = {1, 0, tx.ring[0].sent, tx.ring[0].sent + 240};
        }
        tbib_tx_ack(&tx, &a, 2);
        flags = 0;
    }
};

constexpr unsigned batch = 64;

void per_item(benchmark::State &state, unsigned packets)
{
    using benchmark::Counter;
    auto trains = static_cast<double>(state.iterations()) * batch;
    auto rate = Counter::kIsRate | Counter::kInvert;
    state.counters["per_train"] = Counter(trains, rate);
    state.counters["per_packet"] = Counter(trains * packets, rate);
}

/// build, send and ack; nobody receives
void BM_tx(benchmark::State &state)
{
    auto packets = static_cast<unsigned>(state.range(0));
    Loop l(packets, static_cast<unsigned>(state.range(1)), static_cast<unsigned>(state.range(2)),
           false);
    for (auto _ : state)
        l.run(batch);
    per_item(state, packets);
}

/// the same, received and taken apart on the same thread
void BM_tx_rx(benchmark::State &state)
{
    auto packets = static_cast<unsigned>(state.range(0));
    Loop l(packets, static_cast<unsigned>(state.range(1)), static_cast<unsigned>(state.range(2)));
    for (auto _ : state)
        l.run(batch);
    if (l.delivered != static_cast<u64>(state.iterations()) * batch * packets)
        state.SkipWithError("packets are missing");
    per_item(state, packets);
}

/// packets, payload bytes of each, raw frames
BENCHMARK(BM_tx)->Args({1, 64, 0})->Args({32, 64, 0})->Args({1, 0, 1})->Args({1, 0, 15});
BENCHMARK(BM_tx_rx)->Args({1, 64, 0})->Args({32, 64, 0})->Args({1, 0, 1})->Args({1, 0, 15});

/// cost of the header alone, most of it the table-driven CRC
void BM_frame(benchmark::State &state)
{
    std::array<u8, TBIB_FRAME_SIZE> buf{};
    std::array<u16, TBIB_MAX_RAW> lens{};
    tbib_frame_hdr h{};
    h.kind = TBIB_KIND_TRAIN;
    h.n_pkt = 1;
    h.pkt_len = static_cast<u16>(state.range(0));
    for (auto _ : state) {
        u32 len = tbib_frame_encode(buf.data(), &h, lens.data());
        benchmark::DoNotOptimize(tbib_frame_decode(buf.data(), len, &h, lens.data()));
    }
}
BENCHMARK(BM_frame)->Arg(8)->Arg(88)->Arg(3992);

} // namespace
