// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>

namespace tblab {

/** Anything the lab could not do; what() is one line for a person. */
class LabError : public std::runtime_error {
  public:
    using std::runtime_error::runtime_error;
};

} // namespace tblab
