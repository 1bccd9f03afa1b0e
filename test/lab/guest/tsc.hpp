// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace tblab {

/**
 * How fast this machine's time stamp counter runs, in kHz: QEMU's emulation hands it to guests as
 * it is. It is measured once, which takes 20 ms; a process that is held up meanwhile measures
 * right all the same, as each reading is that of many whose clock was read fastest. 0 on a
 * processor without one.
 */
unsigned long tsc_khz();

} // namespace tblab
