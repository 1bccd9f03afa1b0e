// SPDX-License-Identifier: Apache-2.0
#include "test/lab/guest/image.hpp"

#include "test/lab/guest/error.hpp"
#include "test/lab/guest/process.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <optional>

namespace tblab {
namespace fs = std::filesystem;
namespace {

/** The builder in this checkout: beside the tests in Bazel's runfiles, or above the program or
 * the working folder. */
fs::path builder()
{
    const fs::path script = "test/lab/image/build";
    std::vector<fs::path> starts{fs::current_path()};
    std::error_code error;
    if (const auto self = fs::read_symlink("/proc/self/exe", error); !error) {
        starts.push_back(self.string() + ".runfiles/tbib");
        starts.push_back(self.parent_path());
    }
    for (auto directory : starts) {
        while (true) {
            if (fs::exists(directory / script, error)) {
                return directory / script;
            }
            if (directory == directory.parent_path()) {
                break;
            }
            directory = directory.parent_path();
        }
    }
    throw LabError("test/lab/image/build is not in a folder above " +
                   fs::current_path().string() +
                   "; set TBLAB_IMAGE to the folder that it printed");
}

/** The folder whose path a script of test/lab/image prints. @throws LabError */
fs::path folder_of(const fs::path& script, const std::string& failure)
{
    auto made = capture({"/bin/sh", script.string()});
    while (!made.text.empty() &&
           std::isspace(static_cast<unsigned char>(made.text.back())) != 0) {
        made.text.pop_back();
    }
    if (made.rc != 0 || made.text.empty()) {
        throw LabError(failure);
    }
    return made.text;
}

/** The kernel in a folder. Unpacked, if there is one: that saves the guest a second. */
Kernel kernel_in(const fs::path& folder, const std::string& release)
{
    const auto vmlinux = folder / "vmlinux";
    return {release, fs::exists(vmlinux) ? vmlinux : folder / "vmlinuz", folder / "initrd"};
}

/** The kernel that test/lab/image/debug-kernel builds. */
Kernel debug_kernel()
{
    const auto folder = folder_of(builder().replace_filename("debug-kernel"),
                                  "the debug kernel could not be built");
    std::string release;
    std::ifstream(folder / "release") >> release;
    return kernel_in(folder, release);
}

/** True if release `a` is older than `b`: numbers in it are compared as numbers. */
bool older(const std::string& a, const std::string& b)
{
    return strverscmp(a.c_str(), b.c_str()) < 0;
}

} // namespace

Image Image::get()
{
    if (const char* given = std::getenv("TBLAB_IMAGE"); given != nullptr && *given != '\0') {
        return Image(given);
    }
    if (std::getenv("HOME") ==
        nullptr) { // test runners clear the environment; the cache is in the home folder
        if (const passwd* entry = getpwuid(getuid()); entry != nullptr) {
            setenv("HOME", entry->pw_dir, 0);
        }
    }
    return Image(folder_of(builder(), "the lab image could not be built"));
}

Image::Image(fs::path directory) : directory_(std::move(directory))
{
    for (const auto& part : {root_disk(), qemu(), directory_ / "kernels"}) {
        if (!fs::exists(part)) {
            throw LabError(directory_.string() +
                           " is no lab image: " + part.filename().string() + " is missing");
        }
    }
}

std::vector<Kernel> Image::kernels() const
{
    std::vector<Kernel> result;
    for (const auto& entry : fs::directory_iterator(directory_ / "kernels")) {
        result.push_back(kernel_in(entry.path(), entry.path().filename()));
    }
    std::sort(result.begin(), result.end(),
              [](const Kernel& a, const Kernel& b) { return older(a.release, b.release); });
    return result;
}

Kernel Image::kernel(std::string_view which) const
{
    const auto all = kernels();
    if (all.empty()) {
        throw LabError("the lab image has no kernel");
    }
    if (which == "stable") {
        return all.front();
    }
    if (which == "newest") {
        return all.back();
    }
    if (which == "debug") {
        return debug_kernel();
    }
    if (const fs::path folder(which); which.find('/') != std::string_view::npos) {
        if (!fs::exists(folder / "vmlinuz") || !fs::exists(folder / "initrd")) {
            throw LabError("no vmlinuz and initrd in " + folder.string());
        }
        return {folder.filename(), folder / "vmlinuz", folder / "initrd"};
    }
    std::string known = "stable, newest, debug";
    for (const auto& kernel : all) {
        // "6.1" must not select 6.12
        const auto& release = kernel.release;
        if (!which.empty() && release.compare(0, which.size(), which) == 0 &&
            (release.size() == which.size() ||
             std::isdigit(static_cast<unsigned char>(release[which.size()])) == 0)) {
            return kernel;
        }
        known += ", " + release;
    }
    throw LabError("no kernel '" + std::string(which) + "'; there are " + known);
}

void Image::pack(const fs::path& tree, const fs::path& disk) const
{
    if (!fs::is_directory(tree)) {
        throw LabError(tree.string() + " is no folder");
    }
    fs::remove(disk);
    const auto packed =
        capture({(directory_ / "mksquashfs").string(), tree.string(), disk.string(), "-quiet",
                 "-no-progress", "-noI", "-noD", "-noF", "-noX", "-no-fragments", "-all-root"});
    if (packed.rc != 0) {
        throw LabError("cannot pack " + tree.string());
    }
}

} // namespace tblab
