// SPDX-License-Identifier: Apache-2.0
/**
 * nccl_shape: what NCCL's net_ib transport does with verbs, without NCCL.
 *
 * A communicator goes one way. Its receiver posts a receive without memory on each QP and tells
 * the sender by an inline WRITE into the sender's FIFO where up to eight buffers are. The sender
 * WRITEs each of them, unsignalled, spread over the QPs, and ends on each QP with a
 * WRITE_WITH_IMM: of the last buffer, or of nothing if that was large; with several buffers, of
 * their sizes. The receiver then READs a word through a QP that is connected to itself (NCCL
 * flushes a GPU so), and only then looks at the data, here every byte of it.
 *
 * Both hosts run one communicator each way at once.
 */
#include <arpa/inet.h>
#include <getopt.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "channel.hpp"
#include "rdma.hpp"

namespace {

constexpr int most_qps = 16;
constexpr std::uint32_t most_buffers = 8;
constexpr std::uint32_t send_depth = 512;
constexpr std::uint32_t recv_depth = 256;
constexpr std::uint32_t fifo_slots = 64;
constexpr std::uint32_t inline_bytes = 256;
constexpr std::uint32_t signal_every = 64;
constexpr std::uint32_t guard = 64;
constexpr std::uint8_t background = 0xa5;
constexpr std::uint64_t fifo_write = std::uint64_t{1} << 63;
constexpr int access = IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE |
                       IBV_ACCESS_REMOTE_READ | IBV_ACCESS_REMOTE_ATOMIC |
                       IBV_ACCESS_RELAXED_ORDERING;
constexpr std::chrono::seconds patience{60};

struct Options {
    std::string device = "tbib0";
    std::string host;
    int port = 18517;
    int qps = 1;
    std::uint32_t messages = 500;
    std::uint32_t most_bytes = 65536;
    std::uint32_t depth = 16;
};

/** One buffer that is ready, in the sender's memory; written by the receiver. */
struct Slot {
    std::uint64_t address;
    std::uint32_t rkey;
    std::uint32_t size;
    std::uint32_t buffers;
    std::uint32_t tag;
    std::uint64_t number; /**< of the message, from 1: what says that the slot is new */
};
static_assert(sizeof(Slot) * most_buffers == inline_bytes);

/** What both sides know of a message without talking. */
struct Message {
    std::uint32_t buffers;
    std::array<std::uint32_t, most_buffers> sizes;
};

Message message_of(const Options& options, std::uint64_t number) {
    Message m{};
    std::uint64_t draw = rdma::mix(number);
    m.buffers = draw % 4 == 0 ? 1 + static_cast<std::uint32_t>(draw >> 8) % most_buffers : 1;
    for (std::uint32_t i = 0; i < m.buffers; i++) {
        draw = rdma::mix(draw);
        // as often small as large, sometimes nothing
        const std::uint32_t limit = (draw >> 60) < 8 ? 512 : options.most_bytes;
        m.sizes[i] = static_cast<std::uint32_t>(draw % (limit + 1));
    }
    return m;
}

void fill(std::uint8_t* at, std::uint32_t size, std::uint64_t key) {
    for (std::uint32_t i = 0; i < size; i += 8) {
        const std::uint64_t word = rdma::mix(key + i);
        std::memcpy(at + i, &word, std::min<std::uint32_t>(8, size - i));
    }
}

bool holds(const std::uint8_t* at, std::uint32_t size, std::uint64_t key) {
    for (std::uint32_t i = 0; i < size; i += 8) {
        const std::uint64_t word = rdma::mix(key + i);
        if (std::memcmp(at + i, &word, std::min<std::uint32_t>(8, size - i)) != 0) {
            return false;
        }
    }
    return true;
}

std::uint64_t key_of(std::uint64_t number, std::uint32_t buffer) {
    return rdma::mix(number * most_buffers + buffer);
}

/** Registered memory, cut into depth x most_buffers pieces with a guard behind each. */
class Region {
public:
    Region(const rdma::Device& device, const Options& options)
        : stride_((options.most_bytes + guard + 4095) / 4096 * 4096), depth_(options.depth),
          bytes_(static_cast<std::size_t>(stride_) * depth_ * most_buffers, background),
          mr_(device.register_memory(bytes_.data(), bytes_.size(), access)) {}

    std::uint8_t* piece(std::uint64_t number, std::uint32_t buffer) {
        return bytes_.data() +
               static_cast<std::size_t>(number % depth_ * most_buffers + buffer) * stride_;
    }
    [[nodiscard]] const ibv_mr& mr() const { return *mr_; }

private:
    std::uint32_t stride_;
    std::uint32_t depth_;
    std::vector<std::uint8_t> bytes_;
    rdma::Owned<ibv_mr> mr_;
};

/** What one end of a communicator tells the other. */
struct Hello {
    std::array<rdma::Address, most_qps> qps;
    std::uint64_t table; /**< FIFO of a sender, sizes of a receiver */
    std::uint32_t rkey;
};

/** QPs, their CQ, and a table that the other end writes. */
class End {
public:
    End(const rdma::Device& device, const Options& options, std::size_t table_bytes)
        : device_(device), cq_(device.create_cq(static_cast<int>(send_depth) * options.qps)),
          table_(table_bytes),
          table_mr_(device.register_memory(table_.data(), table_.size(), access)) {
        for (int i = 0; i < options.qps; i++) {
            const ibv_qp_cap cap{send_depth, recv_depth, 1, 1, inline_bytes};
            qps_.push_back(device.create_rc(cq_.get(), cap));
            rdma::initialise(qps_.back().get(), IBV_ACCESS_REMOTE_WRITE);
        }
    }

    void connect(Channel& channel) {
        Hello mine{};
        for (std::size_t i = 0; i < qps_.size(); i++) {
            mine.qps[i] = rdma::address_of(device_, qps_[i].get());
        }
        mine.table = reinterpret_cast<std::uintptr_t>(table_.data());
        mine.rkey = table_mr_->rkey;
        peer_ = channel.exchange(mine);
        for (std::size_t i = 0; i < qps_.size(); i++) {
            rdma::connect(device_, qps_[i].get(), peer_.qps[i], {});
        }
        channel.barrier();
    }

protected:
    const rdma::Device& device_;
    rdma::Owned<ibv_cq> cq_;
    std::vector<rdma::Owned<ibv_qp>> qps_;
    std::vector<std::uint8_t> table_;
    rdma::Owned<ibv_mr> table_mr_;
    Hello peer_{};
};

class Sender : public End {
public:
    Sender(const rdma::Device& device, const Options& options)
        : End(device, options, sizeof(Slot) * most_buffers * fifo_slots), options_(options),
          region_(device, options), sizes_(fifo_slots * most_buffers),
          sizes_mr_(device.register_memory(sizes_.data(), sizes_.size() * 4, access)),
          left_(options.messages, static_cast<int>(options.qps)) {}

    [[nodiscard]] bool done() const { return done_ == options_.messages; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

    bool progress() {
        const auto completions = rdma::poll(cq_.get());
        for (const ibv_wc& wc : completions) {
            left_[wc.wr_id]--;
        }
        while (done_ < next_ && left_[done_] == 0) {
            done_++;
        }
        if (next_ == options_.messages || next_ - done_ == options_.depth || !slot_ready()) {
            return !completions.empty();
        }
        send(next_++);
        return true;
    }

private:
    [[nodiscard]] const volatile Slot* slots(std::uint64_t number) const {
        return reinterpret_cast<const volatile Slot*>(table_.data()) +
               number % fifo_slots * most_buffers;
    }

    /** All buffers of the next message have been told. */
    [[nodiscard]] bool slot_ready() const {
        const volatile Slot* slot = slots(next_);
        if (slot[0].number != next_ + 1) {
            return false;
        }
        for (std::uint32_t i = 1; i < slot[0].buffers; i++) {
            if (slot[i].number != next_ + 1) {
                return false;
            }
        }
        std::atomic_thread_fence(std::memory_order_acquire);
        return true;
    }

    void send(std::uint64_t number) {
        const Message m = message_of(options_, number);
        const volatile Slot* slot = slots(number);
        if (slot[0].buffers != m.buffers || slot[0].tag != static_cast<std::uint32_t>(number)) {
            throw std::runtime_error("the FIFO holds something else than was written");
        }
        for (std::uint32_t i = 0; i < m.buffers; i++) {
            fill(region_.piece(number, i), m.sizes[i], key_of(number, i));
            sizes_[number % fifo_slots * most_buffers + i] = m.sizes[i];
            bytes_ += m.sizes[i];
        }
        for (std::size_t q = 0; q < qps_.size(); q++) {
            send_share(number, m, slot, q);
        }
    }

    /** A QP's share of all buffers: unsignalled WRITEs, and a signalled WRITE_WITH_IMM. */
    void send_share(std::uint64_t number, const Message& m, const volatile Slot* slot,
                    std::size_t q) {
        std::array<ibv_send_wr, most_buffers + 1> wrs{};
        std::array<ibv_sge, most_buffers + 1> sges{};
        std::uint32_t count = 0;
        for (std::uint32_t i = 0; i < m.buffers; i++, count++) {
            const std::uint32_t share = chunk(m.sizes[i]);
            const std::uint32_t offset =
                std::min(share * static_cast<std::uint32_t>(q), m.sizes[i]);
            const std::uint32_t length = std::min(share, m.sizes[i] - offset);
            sges[count] = {reinterpret_cast<std::uintptr_t>(region_.piece(number, i) + offset),
                           length, region_.mr().lkey};
            wrs[count].opcode = IBV_WR_RDMA_WRITE;
            wrs[count].sg_list = &sges[count];
            wrs[count].num_sge = length > 0 ? 1 : 0;
            wrs[count].wr.rdma = {slot[i].address + offset, slot[i].rkey};
        }
        if (m.buffers > 1 || m.sizes[0] > separate_above) {
            count++;
        }
        ibv_send_wr& last = wrs[count - 1];
        if (m.buffers > 1) {
            const std::size_t at = number % fifo_slots * most_buffers;
            sges[count - 1] = {reinterpret_cast<std::uintptr_t>(&sizes_[at]), m.buffers * 4,
                               sizes_mr_->lkey};
            last.sg_list = &sges[count - 1];
            last.num_sge = 1;
            last.wr.rdma = {peer_.table + at * 4, peer_.rkey};
        } else if (count > 1) {
            last.wr.rdma = {slot[0].address, slot[0].rkey};
        }
        last.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
        last.imm_data = htonl(m.buffers > 1 ? 0 : m.sizes[0]);
        last.send_flags = IBV_SEND_SIGNALED;
        last.wr_id = number;
        for (std::uint32_t i = 0; i + 1 < count; i++) {
            wrs[i].next = &wrs[i + 1];
        }
        rdma::post_send(qps_[q].get(), wrs[0]);
    }

    /** NCCL cuts at multiples of 128 bytes. */
    [[nodiscard]] std::uint32_t chunk(std::uint32_t size) const {
        const auto n = static_cast<std::uint32_t>(qps_.size());
        return ((size + n - 1) / n + 127) / 128 * 128;
    }

    static constexpr std::uint32_t separate_above = 8192;

    Options options_;
    Region region_;
    std::vector<std::uint32_t> sizes_;
    rdma::Owned<ibv_mr> sizes_mr_;
    std::vector<int> left_; /**< completions to come, of each message */
    std::uint64_t next_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t bytes_ = 0;
};

/** A QP connected to itself, through which a READ takes a word of what has arrived. */
class Flush {
public:
    explicit Flush(const rdma::Device& device)
        : cq_(device.create_cq(static_cast<int>(recv_depth))),
          qp_(device.create_rc(cq_.get(), {send_depth, recv_depth, 1, 1, 0})),
          words_(recv_depth),
          mr_(device.register_memory(words_.data(), words_.size() * 8, access)) {
        rdma::initialise(qp_.get(), IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
        rdma::connect(device, qp_.get(), rdma::address_of(device, qp_.get()), {});
    }

    void post(std::uint64_t number, const void* at, const ibv_mr& mr) {
        words_[number % words_.size()] = 0;
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(&words_[number % words_.size()]), 8,
                    mr_->lkey};
        ibv_send_wr wr{};
        wr.wr_id = number;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_RDMA_READ;
        wr.send_flags = IBV_SEND_SIGNALED;
        wr.wr.rdma = {reinterpret_cast<std::uintptr_t>(at), mr.rkey};
        rdma::post_send(qp_.get(), wr);
    }

    std::vector<ibv_wc> poll() { return rdma::poll(cq_.get()); }
    [[nodiscard]] std::uint64_t word(std::uint64_t number) const {
        return words_[number % words_.size()];
    }

private:
    rdma::Owned<ibv_cq> cq_;
    rdma::Owned<ibv_qp> qp_;
    std::vector<std::uint64_t> words_;
    rdma::Owned<ibv_mr> mr_;
};

class Receiver : public End {
public:
    Receiver(const rdma::Device& device, const Options& options)
        : End(device, options, sizeof(std::uint32_t) * most_buffers * fifo_slots),
          options_(options), region_(device, options), flush_(device),
          left_(options.messages, static_cast<int>(options.qps)) {}

    [[nodiscard]] bool done() const { return done_ == options_.messages; }
    [[nodiscard]] std::uint64_t bytes() const { return bytes_; }

    bool progress() {
        bool moved = false;
        if (next_ < options_.messages && next_ - done_ < options_.depth) {
            offer(next_++);
            moved = true;
        }
        for (const ibv_wc& wc : rdma::poll(cq_.get())) {
            moved = true;
            if (wc.wr_id != fifo_write) {
                arrived(wc);
            }
        }
        for (const ibv_wc& wc : flush_.poll()) {
            moved = true;
            verify(wc.wr_id);
            done_++;
        }
        return moved;
    }

private:
    /** Receives on all QPs, then the buffers' addresses into the sender's FIFO. */
    void offer(std::uint64_t number) {
        const Message m = message_of(options_, number);
        ibv_recv_wr recv{};
        recv.wr_id = number;
        for (const auto& qp : qps_) {
            rdma::post_recv(qp.get(), recv);
        }
        std::array<Slot, most_buffers> slots{};
        for (std::uint32_t i = 0; i < m.buffers; i++) {
            std::memset(region_.piece(number, i), background, m.sizes[i] + guard);
            slots[i] = {reinterpret_cast<std::uintptr_t>(region_.piece(number, i)),
                        region_.mr().rkey, m.sizes[i], m.buffers,
                        static_cast<std::uint32_t>(number), number + 1};
        }
        ibv_sge sge{reinterpret_cast<std::uintptr_t>(slots.data()),
                    static_cast<std::uint32_t>(sizeof(Slot) * m.buffers), 0};
        ibv_send_wr wr{};
        wr.wr_id = fifo_write;
        wr.sg_list = &sge;
        wr.num_sge = 1;
        wr.opcode = IBV_WR_RDMA_WRITE;
        wr.send_flags = IBV_SEND_INLINE;
        // the queue has to be emptied now and then
        if (number % signal_every == 0) {
            wr.send_flags |= IBV_SEND_SIGNALED;
        }
        wr.wr.rdma = {peer_.table + number % fifo_slots * sizeof(Slot) * most_buffers, peer_.rkey};
        rdma::post_send(qps_[0].get(), wr);
    }

    void arrived(const ibv_wc& wc) {
        const Message m = message_of(options_, wc.wr_id);
        if (wc.opcode != IBV_WC_RECV_RDMA_WITH_IMM || (wc.wc_flags & IBV_WC_WITH_IMM) == 0 ||
            ntohl(wc.imm_data) != (m.buffers > 1 ? 0 : m.sizes[0])) {
            throw std::runtime_error("a wrong receive for message " + std::to_string(wc.wr_id));
        }
        if (--left_[wc.wr_id] == 0) {
            flush_.post(wc.wr_id, region_.piece(wc.wr_id, 0), region_.mr());
        }
    }

    void verify(std::uint64_t number) {
        const Message m = message_of(options_, number);
        const auto* told = reinterpret_cast<const std::uint32_t*>(table_.data()) +
                           number % fifo_slots * most_buffers;
        for (std::uint32_t i = 0; i < m.buffers; i++) {
            const std::uint8_t* at = region_.piece(number, i);
            const std::string which =
                " in message " + std::to_string(number) + ", buffer " + std::to_string(i);
            if (!holds(at, m.sizes[i], key_of(number, i))) {
                throw std::runtime_error("wrong data" + which);
            }
            if (!std::all_of(at + m.sizes[i], at + m.sizes[i] + guard,
                             [](std::uint8_t b) { return b == background; })) {
                throw std::runtime_error("a write beyond the end" + which);
            }
            if (m.buffers > 1 && told[i] != m.sizes[i]) {
                throw std::runtime_error("a wrong size" + which);
            }
            bytes_ += m.sizes[i];
        }
        const std::uint64_t word = flush_.word(number);
        if (std::memcmp(&word, region_.piece(number, 0), sizeof(word)) != 0) {
            throw std::runtime_error("the flush of message " + std::to_string(number) +
                                     " read something else");
        }
    }

    Options options_;
    Region region_;
    Flush flush_;
    std::vector<int> left_; /**< receives to come, of each message */
    std::uint64_t next_ = 0;
    std::uint64_t done_ = 0;
    std::uint64_t bytes_ = 0;
};

/** NCCL asks for a DMA-buf without a file: these answers it understands. */
void probe_dmabuf(const rdma::Device& device) {
    errno = 0;
    ibv_mr* mr = ibv_reg_dmabuf_mr(device.pd(), 0, 0, 0, -1, 0);
    if (mr != nullptr || (errno != EOPNOTSUPP && errno != EPROTONOSUPPORT && errno != EBADF)) {
        rdma::fail("the DMA-buf probe was answered wrongly");
    }
}

void run(const Options& options) {
    const rdma::Device device(options.device);
    probe_dmabuf(device);
    Channel channel = options.host.empty() ? Channel::accept(options.port)
                                           : Channel::connect(options.host, options.port);
    Sender sender(device, options);
    Receiver receiver(device, options);
    if (options.host.empty()) {
        receiver.connect(channel);
        sender.connect(channel);
    } else {
        sender.connect(channel);
        receiver.connect(channel);
    }
    const auto start = std::chrono::steady_clock::now();
    auto moved = start;
    while (!sender.done() || !receiver.done()) {
        const bool sent = sender.progress();
        const bool received = receiver.progress();
        if (sent || received) {
            moved = std::chrono::steady_clock::now();
        } else if (std::chrono::steady_clock::now() - moved > patience) {
            throw std::runtime_error("nothing moves any more");
        }
    }
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    // the other side may still READ or be acknowledged
    channel.barrier();
    std::printf("nccl_shape: %u messages each way, %.1f MB compared, no difference, %.1f MB/s\n",
                options.messages, static_cast<double>(receiver.bytes()) / 1e6,
                static_cast<double>(receiver.bytes()) / 1e6 / took.count());
}

std::optional<Options> parse(int argc, char** argv) {
    Options options;
    for (int c = 0; (c = getopt(argc, argv, "d:p:q:n:m:D:")) != -1;) {
        switch (c) {
        case 'd': options.device = optarg; break;
        case 'p': options.port = std::atoi(optarg); break;
        case 'q': options.qps = std::atoi(optarg); break;
        case 'n': options.messages = static_cast<std::uint32_t>(std::atol(optarg)); break;
        case 'm': options.most_bytes = static_cast<std::uint32_t>(std::atol(optarg)); break;
        case 'D': options.depth = static_cast<std::uint32_t>(std::atol(optarg)); break;
        default: return std::nullopt;
        }
    }
    if (optind < argc) {
        options.host = argv[optind];
    }
    // a message takes up to nine work requests of a send queue
    const bool fits = options.qps >= 1 && options.qps <= most_qps && options.depth >= 1 &&
                      options.depth * (most_buffers + 1) <= send_depth;
    return fits ? std::optional(options) : std::nullopt;
}

} // namespace

int main(int argc, char** argv) {
    const auto options = parse(argc, argv);
    if (!options) {
        std::fputs("nccl_shape [-d DEVICE] [-p PORT] [-q QPS] [-n MESSAGES] [-m BYTES] "
                   "[-D DEPTH] [HOST]\nBoth sides must be given the same options.\n", stderr);
        return 2;
    }
    try {
        run(*options);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "nccl_shape: %s\n", error.what());
        return 1;
    }
    return 0;
}
