/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Conversions of guest_memfds, and what becomes of their HugeTLB pages
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM guest_memfd

#if !defined(_TRACE_GUEST_MEMFD_H) || defined(TRACE_HEADER_MULTI_READ)
#define _TRACE_GUEST_MEMFD_H

#include <linux/fs.h>
#include <linux/hugetlb_gmem_stat.h>
#include <linux/tracepoint.h>

TRACE_DEFINE_ENUM(HUGETLB_GMEM_CONVERT);
TRACE_DEFINE_ENUM(HUGETLB_GMEM_FAULT);
TRACE_DEFINE_ENUM(HUGETLB_GMEM_PUNCH);
TRACE_DEFINE_ENUM(HUGETLB_GMEM_POISON);
TRACE_DEFINE_ENUM(HUGETLB_GMEM_RELEASE);
TRACE_DEFINE_ENUM(HUGETLB_GMEM_RETRY);

#define show_gmem_reason(reason)			\
	__print_symbolic(reason,			\
		{ HUGETLB_GMEM_CONVERT,	"convert" },	\
		{ HUGETLB_GMEM_FAULT,	"fault" },	\
		{ HUGETLB_GMEM_PUNCH,	"punch" },	\
		{ HUGETLB_GMEM_POISON,	"poison" },	\
		{ HUGETLB_GMEM_RELEASE,	"release" },	\
		{ HUGETLB_GMEM_RETRY,	"retry" })

/* One step of the transaction for bytes [start, end) of a file. */
DECLARE_EVENT_CLASS(gmem_transaction,

	TP_PROTO(struct inode *inode, u64 start, u64 end, bool to_private,
		 int err, u64 duration_ns),

	TP_ARGS(inode, start, end, to_private, err, duration_ns),

	TP_STRUCT__entry(
		__field(u64,	ino)
		__field(u64,	start)
		__field(u64,	end)
		__field(bool,	to_private)
		__field(int,	err)
		__field(u64,	duration_ns)
	),

	TP_fast_assign(
		__entry->ino		= inode->i_ino;
		__entry->start		= start;
		__entry->end		= end;
		__entry->to_private	= to_private;
		__entry->err		= err;
		__entry->duration_ns	= duration_ns;
	),

	TP_printk("ino=%llu start=0x%llx end=0x%llx to_private=%d err=%d duration_ns=%llu",
		  __entry->ino, __entry->start, __entry->end,
		  __entry->to_private, __entry->err, __entry->duration_ns)
);

DEFINE_EVENT(gmem_transaction, gmem_prepare,
	TP_PROTO(struct inode *inode, u64 start, u64 end, bool to_private,
		 int err, u64 duration_ns),
	TP_ARGS(inode, start, end, to_private, err, duration_ns));

DEFINE_EVENT(gmem_transaction, gmem_commit,
	TP_PROTO(struct inode *inode, u64 start, u64 end, bool to_private,
		 int err, u64 duration_ns),
	TP_ARGS(inode, start, end, to_private, err, duration_ns));

DEFINE_EVENT(gmem_transaction, gmem_abort,
	TP_PROTO(struct inode *inode, u64 start, u64 end, bool to_private,
		 int err, u64 duration_ns),
	TP_ARGS(inode, start, end, to_private, err, duration_ns));

/* One entry of stage 2 looked at, because the range ends within it. */
TRACE_EVENT(gmem_stage2_split,

	TP_PROTO(u64 gfn, int level, int err),

	TP_ARGS(gfn, level, err),

	TP_STRUCT__entry(
		__field(u64,	gfn)
		__field(int,	level)
		__field(int,	err)
	),

	TP_fast_assign(
		__entry->gfn	= gfn;
		__entry->level	= level;
		__entry->err	= err;
	),

	TP_printk("gfn=0x%llx level=%d err=%d", __entry->gfn, __entry->level,
		  __entry->err)
);

/* One aligned region of an extent, or all of it. */
DECLARE_EVENT_CLASS(gmem_region,

	TP_PROTO(unsigned long pfn, unsigned int order,
		 enum hugetlb_gmem_reason reason, u64 duration_ns),

	TP_ARGS(pfn, order, reason, duration_ns),

	TP_STRUCT__entry(
		__field(unsigned long,	pfn)
		__field(unsigned int,	order)
		__field(int,		reason)
		__field(u64,		duration_ns)
	),

	TP_fast_assign(
		__entry->pfn		= pfn;
		__entry->order		= order;
		__entry->reason		= reason;
		__entry->duration_ns	= duration_ns;
	),

	TP_printk("pfn=0x%lx order=%u reason=%s duration_ns=%llu",
		  __entry->pfn, __entry->order,
		  show_gmem_reason(__entry->reason),
		  __entry->duration_ns)
);

DEFINE_EVENT(gmem_region, gmem_split,
	TP_PROTO(unsigned long pfn, unsigned int order,
		 enum hugetlb_gmem_reason reason, u64 duration_ns),
	TP_ARGS(pfn, order, reason, duration_ns));

DEFINE_EVENT(gmem_region, gmem_merge,
	TP_PROTO(unsigned long pfn, unsigned int order,
		 enum hugetlb_gmem_reason reason, u64 duration_ns),
	TP_ARGS(pfn, order, reason, duration_ns));

DEFINE_EVENT(gmem_region, gmem_free,
	TP_PROTO(unsigned long pfn, unsigned int order,
		 enum hugetlb_gmem_reason reason, u64 duration_ns),
	TP_ARGS(pfn, order, reason, duration_ns));

#endif /* _TRACE_GUEST_MEMFD_H */

/* This part must be outside protection */
#include <trace/define_trace.h>
