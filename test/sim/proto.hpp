// SPDX-License-Identifier: Apache-2.0
// The C core's headers for C++.
#pragma once

extern "C" {
#include "qp.h"
}
