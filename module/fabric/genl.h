/* SPDX-License-Identifier: GPL-2.0-only */
/* What genetlink.c and genl_event.c share. */
#ifndef TBIB_FABRIC_GENL_H
#define TBIB_FABRIC_GENL_H

#include "priv.h"

struct genl_family;

extern struct genl_family tbib_genl_family;

int tbib_genl_put_node(struct sk_buff *msg, struct tbib_priv *priv);
int tbib_genl_put_link(struct sk_buff *msg, const struct tbib_link_info *i,
		       bool auth, u64 drops);

#endif
