// SPDX-License-Identifier: Apache-2.0
// Everything that a peer can put on a ring: frames of any bytes, and frames whose
// CRC, cookie and counters are right, so that what lies behind them is reached too.
// Acks that get through go to a sender with trains in flight.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

extern "C" {
#include "opcode.h"
#include "trunk.h"
}

namespace {

constexpr u32 cookie = 0x600dc0de;
constexpr unsigned rings = 2;

void require(bool ok, const char *what)
{
    if (ok)
        return;
    std::fprintf(stderr, "broken: %s\n", what);
    std::abort();
}

/// Takes the fuzzer's bytes apart.
class Input {
public:
    Input(const u8 *data, size_t size) : p_(data), end_(data + size) {}
    bool empty() const { return p_ == end_; }
    u8 byte() { return empty() ? 0 : *p_++; }
    u16 word() { return static_cast<u16>(byte() << 8 | byte()); }
    u32 dword() { return static_cast<u32>(word()) << 16 | word(); }
    u32 take(u8 *to, u32 n)
    {
        n = std::min<u32>(n, static_cast<u32>(end_ - p_));
        std::memcpy(to, p_, n);
        p_ += n;
        return n;
    }

private:
    const u8 *p_, *end_;
};

class Host {
public:
    Host()
    {
        static tbib_rx_slot slots[TBIB_RX_SLOTS]; // large: made once
        static const tbib_rx_ops rx_ops = {deliver, ack, put, bye};
        static const tbib_tx_ops tx_ops = {room, xmit, pull, release};
        tbib_rx_init(&rx_, &rx_ops, slots, TBIB_RX_SLOTS);
        tbib_tx_init(&tx_, &tx_ops);
        current_ = this;
        for (unsigned i = 0; i < rings; i++)
            ring_up(i);
    }

    ~Host()
    {
        tbib_rx_reset(&rx_);
        tbib_tx_reset(&tx_);
        require(pages_ == 0, "pages leak");
        require(trains_ == 0 && tx_.n_out == 0, "trains leak");
        size_t n = 0;
        for (auto *s = rx_.free; s; s = s->next_free)
            n++;
        require(n == TBIB_RX_SLOTS, "slots leak");
    }

    void run(Input &in)
    {
        while (!in.empty())
            step(in);
    }

private:
    void step(Input &in)
    {
        u8 what = in.byte();
        unsigned ring = what >> 4 & (rings - 1);
        switch (what & 0xf) {
        case 0:
            any_frame(in, ring, TBIB_PDF_HEADER, false);
            break;
        case 1:
            any_frame(in, ring, in.byte(), in.byte() & 1);
            break;
        case 2:
        case 3:
        case 4:
        case 5:
            good_train(in, ring);
            break;
        case 6:
        case 7:
        case 8:
            good_raw(in, ring);
            break;
        case 9:
        case 10:
            control(in, ring);
            break;
        case 11:
            tbib_rx_ring_down(&rx_, ring);
            tbib_tx_ring_down(&tx_, ring);
            break;
        case 12:
            ring_up(ring);
            break;
        case 13:
            tbib_tx_run(&tx_, now_, in.byte());
            break;
        case 14:
            now_ += in.dword();
            tbib_tx_timer(&tx_, now_);
            acks();
            break;
        default:
            if (in.byte() == 0x7f) {
                tbib_rx_reset(&rx_);
                tbib_tx_reset(&tx_);
            }
        }
    }

    void ring_up(unsigned ring)
    {
        tbib_rx_ring_up(&rx_, ring, cookie, static_cast<u8>(ring), 200);
        tbib_tx_ring_up(&tx_, ring, cookie, cookie, static_cast<u8>(ring), 3, 184, 100);
    }

    void acks()
    {
        tbib_ack a;
        std::array<u8, TBIB_CTRL_MAX> buf;
        tbib_rx_ack(&rx_, &a);
        u32 len = tbib_tx_control(&tx_, 0, TBIB_CTRL_ACK, &a, buf.data());
        require(len <= buf.size(), "control frame too long");
    }

    /// The page is exactly as long as the frame, for the sanitizer.
    void give(unsigned ring, const u8 *data, u32 len, u8 eof, bool bad)
    {
        u8 *page = static_cast<u8 *>(std::malloc(len ? len : 1));
        std::memcpy(page, data, len);
        pages_++;
        tbib_rx_buf buf{page, page, static_cast<u16>(len), static_cast<u8>(eof & 0xf), bad};
        tbib_rx_frame(&rx_, ring, &buf);
    }

    void any_frame(Input &in, unsigned ring, u8 eof, bool bad)
    {
        std::array<u8, TBIB_FRAME_SIZE> f;
        u32 len = in.take(f.data(), in.word() % (TBIB_FRAME_SIZE + 1));
        give(ring, f.data(), len, eof, bad);
    }

    void good_train(Input &in, unsigned ring)
    {
        std::array<u8, TBIB_FRAME_SIZE> f;
        std::array<u16, TBIB_MAX_RAW> lens;
        tbib_frame_hdr h{};
        h.kind = TBIB_KIND_TRAIN;
        h.flags = in.byte();
        u8 shape = in.byte();
        h.n_raw = shape % (TBIB_MAX_RAW + 1);
        h.n_pkt = 1 + (shape >> 6);
        h.cookie = cookie;
        // mostly what is due, so that trains are delivered
        h.seq = rx_.lane[h.flags & 1].next + static_cast<u32>(static_cast<s8>(in.byte()) / 16);
        h.ring_frame = rx_.ring[ring].seen + (in.byte() > 250 ? in.byte() : 0);
        h.ack = tx_.lane[h.flags & 1].una + in.byte() % 8;
        h.credit = in.dword();
        u32 want = in.byte() * 8u;
        u32 got = in.take(f.data() + TBIB_FRAME_HDR, std::min<u32>(want, TBIB_PKTS_MAX));
        h.pkt_len = static_cast<u16>(got / 8 * 8);
        u16 len = static_cast<u16>(1 + in.byte() % 64);
        lens.fill(len);
        lens[0] = static_cast<u16>(1 + in.byte());
        u32 size = tbib_frame_encode(f.data(), &h, lens.data());
        give(ring, f.data(), size, TBIB_PDF_HEADER, false);
    }

    void good_raw(Input &in, unsigned ring)
    {
        static const std::array<u8, TBIB_FRAME_SIZE> zero{};
        const tbib_rx_slot *cur = rx_.ring[ring].cur;
        if (!cur)
            return any_frame(in, ring, in.byte(), false);
        // n frames at once, else deep trains are never completed
        for (unsigned n = in.byte() % 33; n && (cur = rx_.ring[ring].cur); n--)
            give(ring, zero.data(), cur->raw_len[cur->n_page - 1],
                 static_cast<u8>(TBIB_PDF_RAW(cur->t.h.flags >> TBIB_FF_TAG_SHIFT)), false);
    }

    void control(Input &in, unsigned ring)
    {
        std::array<u8, TBIB_FRAME_SIZE> f;
        tbib_frame_hdr h{};
        h.kind = TBIB_KIND_CONTROL;
        h.cookie = cookie;
        h.n_pkt = 1 + in.byte() % 4;
        h.ring_frame = rx_.ring[ring].seen;
        u8 how = in.byte();
        if (how & 1) {
            h.pkt_len = static_cast<u16>(in.take(f.data() + TBIB_FRAME_HDR, how));
        } else {
            tbib_ack a{};
            a.lanes = how >> 1 & 3;
            a.n_ring = how >> 3 & 7;
            for (unsigned l = 0; l < TBIB_LANES; l++) {
                a.next[l] = tx_.lane[l].una + in.byte() - 2u;
                a.sack[l][0] = in.dword();
                a.sack[l][1] = in.byte();
            }
            for (unsigned r = 0; r < a.n_ring; r++)
                a.ring[r] = {cookie, static_cast<u8>(in.byte() & 3),
                             tx_.ring[r % rings].sent - in.byte() + 2u, in.dword()};
            h.pkt_len = static_cast<u16>(tbib_ack_encode(f.data() + TBIB_FRAME_HDR, &a));
        }
        u32 size = tbib_frame_encode(f.data(), &h, nullptr);
        give(ring, f.data(), size, TBIB_PDF_HEADER, false);
    }

    static void deliver(tbib_rx *rx, tbib_rx_train *t)
    {
        tbib_pkt_iter it;
        tbib_pkt p;
        tbib_pkt_iter_init(&it, t);
        while (tbib_pkt_next(&it, &p) == 1) {
            tbib_bth b{};
            u32 skip = 0;
            if (tbib_bth_decode(p.inl, p.inl_len, p.flags & TBIB_PF_GRH, &b) == 0)
                skip = b.hdr_len;
            tbib_payload out;
            tbib_pkt_payload(&p, skip, &out);
            u32 sum = 0, len = 0;
            for (int i = 0; i < out.n; i++) {
                len += out.piece[i].len;
                for (u32 k = 0; k < out.piece[i].len; k++)
                    sum += out.piece[i].data[k]; // the sanitizer looks on
            }
            volatile u32 sink = sum;
            (void)sink;
            require(len == out.len && len == p.inl_len - skip + p.ool_len, "payload length");
        }
        tbib_rx_train_free(rx, t);
    }

    static void ack(tbib_rx *, const tbib_ack *a) { tbib_tx_ack(&current_->tx_, a, current_->now_); }
    static void put(tbib_rx *, void *page)
    {
        current_->pages_--;
        std::free(page);
    }
    static void bye(tbib_rx *, unsigned) {}

    static u32 room(tbib_tx *, unsigned) { return 100; }
    static void xmit(tbib_tx *tx, unsigned, tbib_train *t, u32 len)
    {
        require(len <= TBIB_FRAME_SIZE, "frame too long");
        for (int n = t->posted; n; n--)
            tbib_tx_frame_done(tx, t);
    }
    static tbib_train *pull(tbib_tx *, unsigned lane)
    {
        if (current_->trains_ == 300)
            return nullptr;
        current_->trains_++;
        auto *t = static_cast<tbib_train *>(std::calloc(1, sizeof(tbib_train)));
        t->hdr = static_cast<u8 *>(std::malloc(TBIB_FRAME_SIZE));
        tbib_train_init(t, 1, 2, 3, static_cast<u8>(lane));
        std::memset(tbib_train_add(t, 1, 0, 12, 0), 0, 12);
        tbib_raw raw{t->hdr, nullptr, 0, 64, 0};
        if (current_->trains_ & 1)
            tbib_train_add_raw(t, &raw);
        return t;
    }
    static void release(tbib_tx *, tbib_train *t, bool)
    {
        current_->trains_--;
        std::free(t->hdr);
        std::free(t);
    }

    tbib_tx tx_;
    tbib_rx rx_;
    size_t pages_ = 0, trains_ = 0;
    u64 now_ = 1;
    static inline Host *current_;
};

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const u8 *data, size_t size)
{
    static auto *memory = new std::unique_ptr<Host>;
    Input in(data, size);
    *memory = std::make_unique<Host>();
    (*memory)->run(in);
    memory->reset();
    return 0;
}
