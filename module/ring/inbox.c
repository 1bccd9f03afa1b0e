// SPDX-License-Identifier: GPL-2.0-only
/*
 * What others tell a link's worker, and the answer that a question waits for.
 * The only lock is the box's; nothing here sleeps but tbib_inbox_wait().
 */
#include "internal.h"

/**
 * tbib_inbox_init() - an empty one
 * @box: the inbox
 */
void tbib_inbox_init(struct tbib_inbox *box)
{
	spin_lock_init(&box->lock);
	init_completion(&box->replied);
}

/**
 * tbib_inbox_put() - a message of the peer's has come
 * @box: the inbox
 * @msg: a request or a logout
 * @sn: its sequence bits
 */
void tbib_inbox_put(struct tbib_inbox *box, const struct tbib_login *msg,
		    u32 sn)
{
	struct tbib_told *told = &box->told;

	spin_lock_bh(&box->lock);
	told->sn = sn;
	if (msg->type == TBIB_LOGOUT) {
		told->logout = true;
		told->logout_msg = *msg;
		/* what it asked in that session is void, if not its new session */
		if (told->request && told->request_msg.session == msg->session) {
			told->request = false;
			told->left = true;
		}
	} else {
		told->request = true;
		told->request_msg = *msg;
	}
	spin_unlock_bh(&box->lock);
}

/**
 * tbib_inbox_answered() - the peer's answer has come
 * @box: the inbox
 * @msg: the answer
 * @sn: its sequence bits
 *
 * Answers that nobody waits for, late ones and second ones, end here.
 */
void tbib_inbox_answered(struct tbib_inbox *box, const struct tbib_login *msg,
			 u32 sn)
{
	spin_lock_bh(&box->lock);
	if (box->expects && box->expected_sn == sn) {
		box->expects = false;
		box->has_reply = true;
		box->reply = *msg;
		complete(&box->replied);
	}
	spin_unlock_bh(&box->lock);
}

/**
 * tbib_inbox_expect() - a question will be asked; one at a time
 * @box: the inbox
 * @sn: its sequence bits, which the answer has too
 */
void tbib_inbox_expect(struct tbib_inbox *box, u32 sn)
{
	spin_lock_bh(&box->lock);
	reinit_completion(&box->replied);
	box->expects = true;
	box->has_reply = false;
	box->expected_sn = sn;
	spin_unlock_bh(&box->lock);
}

/**
 * tbib_inbox_wait() - for the answer to the question
 * @box: the inbox
 * @timeout: in ms; 0 when the question could not be sent
 * @answer: written if it came
 *
 * May sleep. Return: whether the peer has answered.
 */
bool tbib_inbox_wait(struct tbib_inbox *box, unsigned int timeout,
		     struct tbib_login *answer)
{
	bool has_reply;

	wait_for_completion_timeout(&box->replied, msecs_to_jiffies(timeout));
	spin_lock_bh(&box->lock);
	box->expects = false;
	has_reply = box->has_reply;
	if (has_reply)
		*answer = box->reply;
	spin_unlock_bh(&box->lock);
	return has_reply;
}

/**
 * tbib_inbox_outcome() - what the login question has brought
 * @box: the inbox
 * @answer: what the peer said, or NULL when it said nothing
 */
void tbib_inbox_outcome(struct tbib_inbox *box, const struct tbib_login *answer)
{
	spin_lock_bh(&box->lock);
	if (answer) {
		box->told.response = true;
		box->told.response_msg = *answer;
	} else {
		box->told.no_answer = true;
	}
	spin_unlock_bh(&box->lock);
}

/**
 * tbib_inbox_again() - log in again
 * @box: the inbox
 * @when: and on what condition
 */
void tbib_inbox_again(struct tbib_inbox *box, enum tbib_again when)
{
	spin_lock_bh(&box->lock);
	switch (when) {
	case TBIB_AGAIN:
		box->told.restart = true;
		break;
	case TBIB_AGAIN_TO_SHRINK:
		box->told.shrink = true;
		break;
	case TBIB_AGAIN_TO_GROW:
		box->told.grow = true;
		break;
	}
	spin_unlock_bh(&box->lock);
}

/**
 * tbib_inbox_take() - everything that was told, which empties the box
 * @box: the inbox
 * @told: written
 */
void tbib_inbox_take(struct tbib_inbox *box, struct tbib_told *told)
{
	spin_lock_bh(&box->lock);
	*told = box->told;
	memset(&box->told, 0, sizeof(box->told));
	spin_unlock_bh(&box->lock);
}
