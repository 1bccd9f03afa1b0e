// SPDX-License-Identifier: Apache-2.0
#include "trunk_traffic.hpp"

#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace tbib::sim {

namespace {

constexpr std::size_t blob_size = 1 << 20;

/// Random bytes; every content is a place in them.
const std::uint8_t *blob()
{
    static const std::vector<std::uint8_t> bytes = [] {
        std::vector<std::uint8_t> b(blob_size + TBIB_FRAME_SIZE);
        Rng rng(42);
        for (auto &x : b)
            x = static_cast<std::uint8_t>(rng());
        return b;
    }();
    return bytes.data();
}

const std::uint8_t *content(Rng &rng)
{
    return blob() + rng.below(blob_size);
}

[[noreturn]] void wrong(const char *what, unsigned node, unsigned lane, std::uint64_t id)
{
    throw std::runtime_error(std::string("train ") + std::to_string(id) + " of lane " +
                             std::to_string(lane) + " from node " + std::to_string(node) + ": " +
                             what);
}

} // namespace

Rng TrunkTraffic::rng(unsigned node, unsigned lane, std::uint64_t id) const
{
    return Rng(seed_ * 31 + (id << 2 | lane << 1 | node) * 0xd1342543de82ef95);
}

std::uint32_t TrunkTraffic::raw_frames(Rng &rng) const
{
    switch (raw_profile_) {
    case 0:
        return 0;
    case 1:
        return 1;
    case 2:
        return static_cast<std::uint32_t>(rng.below(4));
    case 3:
        return static_cast<std::uint32_t>(rng.range(16, TBIB_MAX_RAW));
    default:
        return static_cast<std::uint32_t>(rng.chance(0.8) ? rng.below(2)
                                                          : rng.below(TBIB_MAX_RAW + 1));
    }
}

// mostly equal lengths: the length table must not be what saves us
std::uint32_t TrunkTraffic::raw_length(Rng &rng) const
{
    return static_cast<std::uint32_t>(rng.chance(0.95) ? 64 : rng.range(1, TBIB_FRAME_SIZE));
}

void TrunkTraffic::fill(tbib_train &t, unsigned node, unsigned lane, std::uint64_t id) const
{
    Rng r = rng(node, lane, id);
    std::uint64_t packets = r.range(1, packets_max_);
    std::uint32_t raws = raw_frames(r);

    for (std::uint64_t i = 0; i < packets; i++) {
        std::uint32_t inl = 8 + static_cast<std::uint32_t>(r.below(i ? 100 : 40)), ool = 0;
        // all raw frames belong to the first packet but the last one, as pages of a WRITE do
        std::uint32_t mine = i == 0 ? raws - (packets > 1 && raws > 1) : i == 1 && raws > 1;
        const std::uint8_t *src = content(r);
        tbib_raw raw[TBIB_MAX_RAW];
        for (std::uint32_t k = 0; k < mine; k++) {
            std::uint32_t len = raw_length(r);
            auto *data = const_cast<std::uint8_t *>(content(r));
            raw[k] = {data, nullptr, 0, static_cast<u16>(len), 0};
            ool += len;
        }
        std::uint8_t *p = tbib_train_add(&t, TBIB_PKT_TRANSPORT, static_cast<u8>(i), inl,
                                         ool > 0xffff ? 0xffff : ool);
        if (!p)
            wrong("does not fit", node, lane, id);
        std::memcpy(p, src, inl);
        tbib_put64(p, id);
        for (std::uint32_t k = 0; k < mine; k++)
            tbib_train_add_raw(&t, &raw[k]);
    }
}

void TrunkTraffic::check(const tbib_rx_train &t, unsigned node, unsigned lane,
                         std::uint64_t id) const
{
    Rng r = rng(node, lane, id);
    std::uint64_t packets = r.range(1, packets_max_);
    std::uint32_t raws = raw_frames(r);
    tbib_pkt_iter it;
    tbib_pkt p;
    std::uint32_t raw_index = 0;

    tbib_pkt_iter_init(&it, &t);
    for (std::uint64_t i = 0; i < packets; i++) {
        if (tbib_pkt_next(&it, &p) != 1)
            wrong("too few packets", node, lane, id);
        if (tbib_get64(p.inl) != id)
            wrong(("it is train " + std::to_string(tbib_get64(p.inl))).c_str(), node, lane, id);
        std::uint32_t inl = 8 + static_cast<std::uint32_t>(r.below(i ? 100 : 40));
        std::uint32_t mine = i == 0 ? raws - (packets > 1 && raws > 1) : i == 1 && raws > 1;
        const std::uint8_t *src = content(r);
        if (p.inl_len != inl || p.flags != static_cast<u8>(i) ||
            std::memcmp(p.inl + 8, src + 8, inl - 8) != 0)
            wrong("inline bytes differ", node, lane, id);
        for (std::uint32_t k = 0; k < mine; k++, raw_index++) {
            std::uint32_t len = raw_length(r);
            const std::uint8_t *data = content(r);
            if (t.raw[raw_index].len != len ||
                std::memcmp(t.raw[raw_index].data, data, len) != 0)
                wrong("raw bytes differ", node, lane, id);
        }
    }
    if (raw_index != t.h.n_raw || tbib_pkt_next(&it, &p) != 0)
        wrong("something is left over", node, lane, id);
}

} // namespace tbib::sim
