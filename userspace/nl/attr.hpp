// SPDX-License-Identifier: Apache-2.0
// Walking netlink attributes (libmnl's own macros are C only).
#pragma once

#include <libmnl/libmnl.h>

namespace tbib::nl {

/// Calls f(const nlattr*) for each attribute behind @p offset payload bytes.
/// Attributes whose length does not fit end the walk.
template <typename F>
void each_attr(const nlmsghdr* h, size_t offset, F f)
{
    if (mnl_nlmsg_get_payload_len(h) < offset)
        return;
    const char* end = static_cast<const char*>(mnl_nlmsg_get_payload_tail(h));
    for (auto* a = static_cast<const nlattr*>(mnl_nlmsg_get_payload_offset(h, offset));
         mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)));
         a = mnl_attr_next(a))
        f(a);
}

/// The same for the attributes inside @p nest.
template <typename F>
void each_nested(const nlattr* nest, F f)
{
    const char* end = static_cast<const char*>(mnl_attr_get_payload(nest)) +
                      mnl_attr_get_payload_len(nest);
    for (auto* a = static_cast<const nlattr*>(mnl_attr_get_payload(nest));
         mnl_attr_ok(a, static_cast<int>(end - reinterpret_cast<const char*>(a)));
         a = mnl_attr_next(a))
        f(a);
}

}  // namespace tbib::nl
