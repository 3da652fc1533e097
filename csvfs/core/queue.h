/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A doubly linked list whose links are in its members; the head is a link too. A link that is in no list points to itself. */
#ifndef CSVFS_CORE_QUEUE_H
#define CSVFS_CORE_QUEUE_H

#include <stdbool.h>
#include <stddef.h>

#include "units.h"

struct queue {
	struct queue *prev, *next;
};

static inline void queue_init(struct queue *q)
{
	q->prev = q->next = q;
}
static inline bool queue_empty(const struct queue *q)
{
	return q->next == q;
}
/* Before `at`: with the head, at the end. */
static inline void queue_add(struct queue *at, struct queue *q)
{
	q->prev = at->prev;
	q->next = at;
	at->prev->next = q;
	at->prev = q;
}
static inline void queue_remove(struct queue *q)
{
	q->prev->next = q->next;
	q->next->prev = q->prev;
	queue_init(q);
}

/* Walks the members; `member` may be removed meanwhile, no other. */
#define QUEUE_FOR(head, type, link, member)                                                               \
	for (struct queue *at_ = (head)->next, *after_ = at_->next; at_ != (head); at_ = after_, after_ = at_->next) \
		for (type *member = CONTAINER_OF(at_, type, link); member; member = NULL)
#define QUEUE_FIRST(head, type, link) (queue_empty(head) ? NULL : CONTAINER_OF((head)->next, type, link))

#endif
