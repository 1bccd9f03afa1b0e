// SPDX-License-Identifier: Apache-2.0
// One Varlink call to tbibd.
#pragma once

#include <nlohmann/json.hpp>

#include <stdexcept>
#include <string>

namespace tbib {

/// what() is one line; code() an errno of the connection, or 0.
class CallError : public std::runtime_error {
public:
    CallError(int code, const std::string& what) : std::runtime_error(what), code_(code) {}
    int code() const { return code_; }

private:
    int code_;
};

/// Calls @p method on the service at @p path and returns its parameters.
/// Gives up after five seconds of silence. Throws CallError.
nlohmann::json varlink_call(const std::string& path, const std::string& method);

}  // namespace tbib
