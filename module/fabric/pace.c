// SPDX-License-Identifier: GPL-2.0-only
/*
 * Pace per destination node. A transit queue above a quarter marks the trains
 * that pass; the destination tells the source (BECN), and the source sends more
 * slowly to that node: AIMD, so that transit drops, which cost the transport a
 * round trip and more, are rare. Nodes that are not told of marks are never
 * held up.
 */
#include "priv.h"

#define PACE_STEP_NS	(2 * NSEC_PER_MSEC)	/* at most one change in that time */
#define PACE_BURST_NS	(200 * NSEC_PER_USEC)	/* sent ahead of the pace */
#define PACE_MIN	100			/* Mb/s */
#define PACE_UP		64			/* 1/64 of the line rate more a step */

static u32 line_rate(struct tbib_priv *priv)
{
	return max(READ_ONCE(priv->node.speed_mbps), 1000u);
}

/*
 * tbib_pace_cut() - @peer has seen marks on our trains: a quarter less
 * NAPI context.
 */
void tbib_pace_cut(struct tbib_priv *priv, struct tbib_peer *peer, u64 now)
{
	u32 pace = READ_ONCE(peer->pace_mbps);

	if (pace && now - peer->pace_changed < PACE_STEP_NS)
		return;
	if (!pace)
		pace = line_rate(priv);
	peer->pace_changed = now;
	WRITE_ONCE(peer->pace_mbps, max(pace - pace / 4, (u32)PACE_MIN));
}

/*
 * tbib_pace_wait() - may a train go to @peer now?
 * Return: 0, or the time (ns) at which it may. tx lock held.
 */
u64 tbib_pace_wait(struct tbib_peer *peer)
{
	u64 now;

	if (likely(!READ_ONCE(peer->pace_mbps)))
		return 0;
	now = ktime_get_ns();
	return peer->pace_at > now + PACE_BURST_NS ?
	       peer->pace_at - PACE_BURST_NS : 0;
}

/* tbib_pace_sent() - a train of @bytes goes to @peer; tx lock held */
void tbib_pace_sent(struct tbib_priv *priv, struct tbib_peer *peer, u32 bytes)
{
	u32 pace = READ_ONCE(peer->pace_mbps);
	u64 now;

	if (likely(!pace))
		return;
	now = ktime_get_ns();
	/* bits / (Mb/s) = us */
	peer->pace_at = max(peer->pace_at, now) +
			div_u64((u64)bytes * 8 * 1000, pace);
	if (now - peer->pace_changed < PACE_STEP_NS)
		return;
	peer->pace_changed = now;
	pace += line_rate(priv) / PACE_UP;
	WRITE_ONCE(peer->pace_mbps, pace < line_rate(priv) ? pace : 0);
}
