// SPDX-License-Identifier: Apache-2.0
/** verbs_scale limits: as many objects of each kind as the device says that there may be. */
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <functional>

#include "verbs_scale.hpp"

namespace {

/** What the kernel's own users may have of a kind; it is counted in the same place. */
constexpr std::size_t of_the_kernel = 64;
constexpr std::size_t some = 100;
constexpr std::uint32_t word_bytes = 8;
/** Regions share these: a page that millions of them pin would have more users than it can count. */
constexpr std::size_t pages = 512;
constexpr std::size_t page_bytes = 4096;

/** All objects of a kind that the device gives to this process. */
template <typename T>
class Kind {
public:
    Kind(std::string name, int limit, std::function<T*()> make)
        : name_(std::move(name)), limit_(static_cast<std::size_t>(limit)), make_(std::move(make)) {
        made_.reserve(limit_ + 1);
    }

    /**
     * Makes objects until one is refused. Throws if that comes early or for another reason than
     * ENOMEM. A refusal that costs the device anything shows when it is done again after some
     * objects were destroyed: as many are to be had again.
     */
    void fill() {
        auto start = Clock::now();
        until_refused();
        const std::size_t first = made_.size();
        std::printf("verbs_scale: %zu %ss of %zu in %.1f s\n", first, name_.c_str(), limit_,
                    seconds_since(start));
        if (first > limit_ || first + of_the_kernel < limit_) {
            throw std::runtime_error("refused one " + name_ + " after " + std::to_string(first));
        }
        made_.resize(first - some);
        until_refused();
        if (made_.size() != first) {
            throw std::runtime_error(std::to_string(first) + " at first, then " +
                                     std::to_string(made_.size()));
        }
    }

    void destroy() {
        const auto start = Clock::now();
        made_.clear();
        std::printf("verbs_scale: destroyed in %.1f s\n", seconds_since(start));
    }

    [[nodiscard]] const std::vector<rdma::Owned<T>>& made() const { return made_; }

private:
    void until_refused() {
        while (made_.size() <= limit_) {
            errno = 0;
            T* object = make_();
            if (object == nullptr) {
                break;
            }
            made_.emplace_back(object);
        }
        if (made_.size() <= limit_ && errno != ENOMEM) {
            rdma::fail("one more " + name_);
        }
    }

    std::string name_;
    std::size_t limit_;
    std::function<T*()> make_;
    std::vector<rdma::Owned<T>> made_;
};

void expect_different_numbers(const std::vector<rdma::Owned<ibv_qp>>& qps) {
    std::vector<std::uint32_t> numbers;
    numbers.reserve(qps.size());
    for (const auto& qp : qps) {
        numbers.push_back(qp->qp_num);
    }
    std::sort(numbers.begin(), numbers.end());
    if (std::adjacent_find(numbers.begin(), numbers.end()) != numbers.end()) {
        throw std::runtime_error("two QPs have one number");
    }
}

/** Two QPs are connected; one writes a word. */
void talk(const rdma::Device& device, ibv_cq* cq, ibv_qp* near, ibv_qp* far) {
    std::uint64_t words[2] = {0x7462696274626962, 0};
    const auto mr = device.register_memory(words, sizeof(words),
                                           IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    rdma::initialise(near, IBV_ACCESS_REMOTE_WRITE);
    rdma::initialise(far, IBV_ACCESS_REMOTE_WRITE);
    rdma::connect(device, near, rdma::address_of(device, far), {});
    rdma::connect(device, far, rdma::address_of(device, near), {});
    ibv_sge sge{reinterpret_cast<std::uintptr_t>(words), word_bytes, mr->lkey};
    ibv_send_wr wr{};
    wr.sg_list = &sge;
    wr.num_sge = 1;
    wr.opcode = IBV_WR_RDMA_WRITE;
    wr.send_flags = IBV_SEND_SIGNALED;
    wr.wr.rdma.remote_addr = reinterpret_cast<std::uintptr_t>(words + 1);
    wr.wr.rdma.rkey = mr->rkey;
    rdma::post_send(near, wr);
    wait_for(cq, Clock::now() + patience);
    if (words[1] != words[0]) {
        throw std::runtime_error("wrong data between the first QP and the last");
    }
}

template <typename T>
void fill_and_destroy(const char* name, int limit, std::function<T*()> make) {
    Kind<T> kind(name, limit, std::move(make));
    kind.fill();
    kind.destroy();
}

/** Millions of each, which takes minutes. */
void regions_and_windows(const rdma::Device& device, const ibv_device_attr& has) {
    std::vector<std::byte> memory(pages * page_bytes);
    std::size_t next = 0;
    fill_and_destroy<ibv_mr>("MR", has.max_mr, [&] {
        return ibv_reg_mr(device.pd(), &memory[next++ % pages * page_bytes], word_bytes,
                          IBV_ACCESS_LOCAL_WRITE);
    });
    fill_and_destroy<ibv_mw>("MW", has.max_mw,
                             [&] { return ibv_alloc_mw(device.pd(), IBV_MW_TYPE_2); });
}

} // namespace

void limits(const std::string& name, bool all) {
    const rdma::Device device(name);
    ibv_device_attr has{};
    if (ibv_query_device(device.context(), &has) != 0) {
        rdma::fail("query the device");
    }
    fill_and_destroy<ibv_cq>("CQ", has.max_cq, [&] {
        return ibv_create_cq(device.context(), 1, nullptr, nullptr, 0);
    });
    ibv_srq_init_attr few{};
    few.attr.max_wr = 1;
    few.attr.max_sge = 1;
    fill_and_destroy<ibv_srq>("SRQ", has.max_srq,
                              [&] { return ibv_create_srq(device.pd(), &few); });
    if (all) {
        regions_and_windows(device, has);
    }

    const auto cq = device.create_cq(2);
    ibv_qp_init_attr init{};
    init.send_cq = cq.get();
    init.recv_cq = cq.get();
    init.cap = {1, 1, 1, 1, 0};
    init.qp_type = IBV_QPT_RC;
    Kind<ibv_qp> qps("QP", has.max_qp, [&] { return ibv_create_qp(device.pd(), &init); });
    qps.fill();
    expect_different_numbers(qps.made());
    talk(device, cq.get(), qps.made().front().get(), qps.made().back().get());
    std::fflush(stdout);
    _exit(0); // the QPs are left to the kernel
}
