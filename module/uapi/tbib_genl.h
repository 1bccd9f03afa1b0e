/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR BSD-2-Clause */
/*
 * Generic netlink family "tbib" (docs/netlink/tbib.yaml): how tbibd sees and
 * programs the module. Numbers are native-endian as usual in netlink; GUIDs
 * are u64 values, MAC addresses 6 bytes, UUIDs 16 bytes.
 *
 * All commands but the *_GET ones want CAP_NET_ADMIN in the initial network
 * namespace. Every command may be sent with NLM_F_ACK; errors carry an
 * extended ack text.
 */
#ifndef _UAPI_TBIB_GENL_H
#define _UAPI_TBIB_GENL_H

#define TBIB_GENL_NAME		"tbib"
#define TBIB_GENL_VERSION	1
#define TBIB_GENL_MCGRP_EVENTS	"events"

enum {
	TBIB_CMD_UNSPEC,
	TBIB_CMD_NODE_GET,	/* do: TBIB_A_NODE */
	TBIB_CMD_NODE_SET,	/* do: TBIB_A_NODE {GUID?, LID?, DESC?}. GUID only
				 * while nothing uses tbib0 (else -EBUSY) */
	TBIB_CMD_LINK_GET,	/* dump: TBIB_A_LINK each */
	TBIB_CMD_LINK_AUTH,	/* do: TBIB_A_LINK {ID, AUTHORISED}: peer may talk */
	TBIB_CMD_ROUTE_GET,	/* dump: TBIB_A_ROUTE each, TBIB_A_GENERATION */
	TBIB_CMD_ROUTE_SET,	/* do: the whole table: TBIB_A_GENERATION,
				 * nested TBIB_A_ROUTE (multi-attr). Swapped at
				 * once; nodes not named lose their LID */
	TBIB_CMD_MANAGER,	/* do: this socket gets the management datagrams
				 * by unicast; -EBUSY when there is one */
	TBIB_CMD_MGMT_SEND,	/* do: TBIB_A_LINK_ID, TBIB_A_DATA to the neighbour */
	TBIB_CMD_MGMT_RECV,	/* to the manager: TBIB_A_LINK_ID, TBIB_A_DATA */
	TBIB_CMD_STATS_GET,	/* do: nested TBIB_A_STATS (u64 by name order) */
	TBIB_CMD_LINK_EVENT,	/* multicast: TBIB_A_LINK, state changed */
	TBIB_CMD_NODE_EVENT,	/* multicast: TBIB_A_NODE, changed */
	TBIB_CMD_LINK_GONE,	/* multicast: TBIB_A_LINK_ID */
	__TBIB_CMD_MAX,
};
#define TBIB_CMD_MAX (__TBIB_CMD_MAX - 1)

enum {
	TBIB_A_UNSPEC,
	TBIB_A_NODE,		/* nest: TBIB_NODE_A_* */
	TBIB_A_LINK,		/* nest: TBIB_LINK_A_* */
	TBIB_A_ROUTE,		/* nest: TBIB_ROUTE_A_* */
	TBIB_A_GENERATION,	/* u32 */
	TBIB_A_LINK_ID,		/* u32 */
	TBIB_A_DATA,		/* binary, at most TBIB_MGMT_MAX */
	TBIB_A_STATS,		/* nest: TBIB_STAT_A_* , multi */
	TBIB_A_PAD,
	__TBIB_A_MAX,
};
#define TBIB_A_MAX (__TBIB_A_MAX - 1)

#define TBIB_MGMT_MAX 3072

enum {
	TBIB_NODE_A_UNSPEC,
	TBIB_NODE_A_GUID,	/* u64 */
	TBIB_NODE_A_MAC,	/* 6 bytes */
	TBIB_NODE_A_LID,	/* u16, 0 = none */
	TBIB_NODE_A_EPOCH,	/* u32 */
	TBIB_NODE_A_PORT_STATE,	/* u8: 1 DOWN, 2 INIT, 3 ARMED, 4 ACTIVE */
	TBIB_NODE_A_SPEED,	/* u32 Mb/s */
	TBIB_NODE_A_IFINDEX,	/* u32 of tbib0, 0 = not there */
	TBIB_NODE_A_IBDEV,	/* string, absent while there is none */
	TBIB_NODE_A_VERSION,	/* string: module version */
	TBIB_NODE_A_DESC,	/* string */
	TBIB_NODE_A_PAD,
	__TBIB_NODE_A_MAX,
};
#define TBIB_NODE_A_MAX (__TBIB_NODE_A_MAX - 1)

enum {
	TBIB_LINK_A_UNSPEC,
	TBIB_LINK_A_ID,		/* u32 */
	TBIB_LINK_A_STATE,	/* u8: enum tbib_link_state of proto/login.h:
				 * 0 down 1 login 2 paths 3 up 4 refused */
	TBIB_LINK_A_REFUSED,	/* u8: why, enum tbib_login_status, or 5: no ring pair is free */
	TBIB_LINK_A_AUTHORISED,	/* u8 */
	TBIB_LINK_A_PEER_GUID,	/* u64 */
	TBIB_LINK_A_PEER_MAC,	/* 6 bytes */
	TBIB_LINK_A_PEER_EPOCH,	/* u32 */
	TBIB_LINK_A_PEER_NAME,	/* string, from the XDomain */
	TBIB_LINK_A_LOCAL_UUID,	/* 16 bytes */
	TBIB_LINK_A_REMOTE_UUID,
	TBIB_LINK_A_ROUTE,	/* u64 Thunderbolt route */
	TBIB_LINK_A_DOMAIN,	/* u32 */
	TBIB_LINK_A_SPEED,	/* u32 Gb/s per lane */
	TBIB_LINK_A_WIDTH,	/* u32 lanes */
	TBIB_LINK_A_RINGS,	/* u32 ring pairs */
	TBIB_LINK_A_MGMT_DROPS,	/* u64 datagrams dropped */
	TBIB_LINK_A_PAD,
	__TBIB_LINK_A_MAX,
};
#define TBIB_LINK_A_MAX (__TBIB_LINK_A_MAX - 1)

enum {
	TBIB_ROUTE_A_UNSPEC,
	TBIB_ROUTE_A_GUID,	/* u64 destination node */
	TBIB_ROUTE_A_LID,	/* u16 its LID (1..255) */
	TBIB_ROUTE_A_EPOCH,	/* u32 its boot epoch */
	TBIB_ROUTE_A_VIA,	/* u64 GUID of the neighbour; own GUID = self */
	TBIB_ROUTE_A_MCAST,	/* multi: u64 GUIDs of the neighbours to which a
				 * multicast train from this node is forwarded */
	TBIB_ROUTE_A_PAD,
	__TBIB_ROUTE_A_MAX,
};
#define TBIB_ROUTE_A_MAX (__TBIB_ROUTE_A_MAX - 1)

enum {
	TBIB_STAT_A_UNSPEC,
	TBIB_STAT_A_NAME,	/* string */
	TBIB_STAT_A_VALUE,	/* u64 */
	TBIB_STAT_A_PAD,
	__TBIB_STAT_A_MAX,
};
#define TBIB_STAT_A_MAX (__TBIB_STAT_A_MAX - 1)

#endif /* _UAPI_TBIB_GENL_H */
