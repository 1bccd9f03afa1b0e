// SPDX-License-Identifier: Apache-2.0
#include <boost/test/unit_test.hpp>

#include <cstring>

#include "test/lab/nhi/pci_device.hpp"
#include "test/lab/vfio_user/protocol.hpp"

using namespace tblab;

namespace {

struct NoEvents : nhi::Events {
    void tx_doorbell(unsigned) override {}
    void tx_stopped(unsigned) override {}
    void rx_posted(unsigned) override {}
    void rx_changed(unsigned) override {}
    void host_reset() override {}
};

struct Fixture {
    NoEvents events;
    nhi::Nhi nhi{12, 2, events};
    int resets = 0;
    nhi::PciDevice pci{nhi, false, [this] { ++resets; }};

    std::uint32_t config(std::uint64_t offset, std::size_t size)
    {
        std::byte data[4]{};
        pci.read(vfio_user::region_config, offset, std::span(data, size));
        std::uint32_t value;
        std::memcpy(&value, data, sizeof value);
        return value;
    }
    void write(unsigned region, std::uint64_t offset, std::uint32_t value, std::size_t size)
    {
        std::byte data[4];
        std::memcpy(data, &value, sizeof data);
        pci.write(region, offset, std::span(data, size));
    }
};

} // namespace

BOOST_FIXTURE_TEST_SUITE(pci_device, Fixture)

BOOST_AUTO_TEST_CASE(is_a_usb4_host_interface_with_msix)
{
    BOOST_TEST(config(0x08, 4) >> 8 == 0x0c0340u);
    BOOST_TEST(config(0x00, 2) != 0x8086u);
    BOOST_TEST((config(0x06, 2) & 0x10) != 0u);
    const std::uint32_t capability = config(0x34, 1);
    BOOST_TEST(config(capability, 1) == 0x11u);
    BOOST_TEST(config(capability + 1, 1) == 0u); // the last one
    BOOST_TEST((config(capability + 2, 2) & 0x7ff) == 15u); // 16 vectors
    BOOST_TEST(pci.vectors() == 16u);
    BOOST_TEST((config(capability + 4, 4) & 7) == 2u); // table in BAR2
    nhi::PciDevice intel(nhi, true, [] {});
    std::byte vendor[2];
    intel.read(vfio_user::region_config, 0, vendor);
    BOOST_TEST((vendor[0] == std::byte{0x86} && vendor[1] == std::byte{0x80}));
}

BOOST_AUTO_TEST_CASE(identity_is_read_only)
{
    for (unsigned offset = 0; offset < 256; ++offset)
        write(vfio_user::region_config, offset, 0xff, 1);
    BOOST_TEST(config(0x00, 4) == 0x0fe41b36u);
    BOOST_TEST(config(0x04, 2) == 0xffffu); // command
}

BOOST_AUTO_TEST_CASE(registers_are_accessed_by_dwords)
{
    write(vfio_user::region_bar0, nhi::throttle, 500, 4);
    std::byte data[8]{};
    pci.read(vfio_user::region_bar0, nhi::throttle, data);
    BOOST_TEST((data[0] == std::byte{0xf4} && data[1] == std::byte{1}));
    write(vfio_user::region_bar0, nhi::throttle, 7, 2); // ignored
    write(vfio_user::region_bar0, nhi::throttle + 1, 7, 4);
    BOOST_TEST(nhi.read(nhi::throttle) == 500u);
    pci.read(vfio_user::region_bar0, nhi::throttle + 2, std::span(data, 2));
    BOOST_TEST((data[0] == std::byte{0}));
    write(vfio_user::region_bar2, 0, 7, 4); // QEMU has the MSI-X table
}

BOOST_AUTO_TEST_CASE(reset_is_power_on)
{
    write(vfio_user::region_config, 4, 0x6, 2);
    pci.reset();
    BOOST_TEST(config(4, 2) == 0u);
    BOOST_TEST(resets == 1);
}

BOOST_AUTO_TEST_SUITE_END()
