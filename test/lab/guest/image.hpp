// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace tblab {

/** A kernel to boot. */
struct Kernel {
    std::string release;
    std::filesystem::path vmlinuz, initrd;
};

/** What test/lab/image/build makes: root, kernels, QEMU. */
class Image {
  public:
    /**
     * The cached image of this checkout; builds it if it is not there, which
     * takes root rights and about two minutes. The environment variable
     * TBLAB_IMAGE may name the folder instead.
     * @throws LabError
     */
    static Image get();
    explicit Image(std::filesystem::path directory);

    const std::filesystem::path& directory() const { return directory_; }
    std::filesystem::path root_disk() const { return directory_ / "root.squashfs"; }
    std::filesystem::path qemu() const { return directory_ / "qemu"; }

    /** Kernels in it, oldest first. */
    std::vector<Kernel> kernels() const;
    /**
     * "stable" (the release's), "newest" (the backports'), the beginning of a
     * release ("6.12", "7.3"), a folder with vmlinuz and initrd, or "debug": the
     * one that test/lab/image/debug-kernel has built, or builds now in twenty minutes.
     * @throws LabError if there is none
     */
    Kernel kernel(std::string_view which) const;

    /** Packs a folder into a read-only disk; owner of everything is root. @throws LabError */
    void pack(const std::filesystem::path& tree, const std::filesystem::path& disk) const;

  private:
    std::filesystem::path directory_;
};

} // namespace tblab
