// SPDX-License-Identifier: GPL-2.0-only
/*
 * What else can be done to a file: every mode of fallocate(), mappings of all
 * kinds, every advice of madvise(), and the calls that are none of a
 * guest_memfd's.  A file on HugeTLB pages answers as one on pages of 4K does, and
 * nothing that is refused has changed anything.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <unistd.h>

#include "guest_memfd_contract.h"
#include "guest_memfd_state.h"
#include "kvm_test_harness.h"

#define KEEP		FALLOC_FL_KEEP_SIZE
#define PUNCH		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE)
#define NR_EXTENTS	2
#define SHARED_PAGES	4

struct ops {
	struct gmem_vm g;
	struct gmem_quick before;
	u64 size;
	/* Pages of the file that are shared, around the end of an extent. */
	u64 first;
	u64 nr_hugepages;
	int pipe[2];
	int other;
};

FIXTURE(guest_memfd_file_ops)
{
	struct ops ops;
};

FIXTURE_VARIANT(guest_memfd_file_ops)
{
	u8 order;
	u64 flags;
};

FIXTURE_VARIANT_ADD(guest_memfd_file_ops, 4k) {
	.order = 0,
};

FIXTURE_VARIANT_ADD(guest_memfd_file_ops, 4k_mmap) {
	.order = 0,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_VARIANT_ADD(guest_memfd_file_ops, 2m) {
	.order = ORDER_2M,
};

FIXTURE_VARIANT_ADD(guest_memfd_file_ops, 2m_mmap) {
	.order = ORDER_2M,
	.flags = GUEST_MEMFD_FLAG_MMAP,
};

FIXTURE_SETUP(guest_memfd_file_ops)
{
	struct gmem_config config = {
		.order = variant->order,
		.size = NR_EXTENTS * SZ_2M,
		.flags = variant->flags,
		.vm_type = KVM_X86_SW_PROTECTED_VM,
	};
	struct ops *o = &self->ops;

	o->size = config.size;
	o->first = SZ_2M / PAGE_SIZE - SHARED_PAGES / 2;
	o->nr_hugepages = hugetlb_pool_require(SZ_2M, NR_EXTENTS);
	gmem_vm_create(&o->g, &config);
	TEST_ASSERT(!pipe2(o->pipe, O_NONBLOCK), "pipe()");
	o->other = open_path_or_exit("/proc/self/exe", O_RDONLY);

	gmem_set_tags(&o->g, 0, o->g.nr_pages, 1);
	gmem_guest_write(&o->g, o->first - 8, SHARED_PAGES + 16);
	if (gmem_in_place(&o->g)) {
		gmem_convert(&o->g, o->first, SHARED_PAGES, false);
		gmem_host_check(&o->g, o->first, GMEM_STEP_ALL);
	}
	gmem_quick_read(o->g.fd, &o->before);
}

FIXTURE_TEARDOWN(guest_memfd_file_ops)
{
	struct ops *o = &self->ops;

	kvm_close(o->pipe[0]);
	kvm_close(o->pipe[1]);
	kvm_close(o->other);
	gmem_vm_free(&o->g);
	hugetlb_pool_set(SZ_2M, o->nr_hugepages);
}

/* Attributes and contents are what they were, and counters. */
static void assert_unchanged(struct ops *o, const char *what)
{
	u64 page;
	int code;

	gmem_quick_assert_same(o->g.fd, &o->before, what);
	gmem_guest_check(&o->g, o->first - 8, SHARED_PAGES + 16, GMEM_STEP_SPREAD);
	if (!gmem_in_place(&o->g))
		return;
	for (page = o->first - 1; page <= o->first + SHARED_PAGES; page++) {
		bool shared = page >= o->first && page < o->first + SHARED_PAGES;

		code = gmem_host_access(gmem_host_page(&o->g, page), true);
		TEST_ASSERT(!code == shared, "%s: the host gets %d from page %lu", what,
			    code, page);
	}
}

/* Calls on the file, which return less than 0 with errno or not. */
static int do_read(struct ops *o)
{
	return read(o->g.fd, &o->before, 8);
}

static int do_pread(struct ops *o)
{
	char byte;

	return pread(o->g.fd, &byte, 1, 0);
}

static int do_write(struct ops *o)
{
	return write(o->g.fd, "x", 1);
}

static int do_pwrite(struct ops *o)
{
	return pwrite(o->g.fd, "x", 1, 0);
}

static int do_writev(struct ops *o)
{
	struct iovec vec = { .iov_base = o, .iov_len = 1 };

	return writev(o->g.fd, &vec, 1);
}

static int do_lseek(struct ops *o)
{
	return lseek(o->g.fd, 0, SEEK_SET);
}

static int do_lseek_hole(struct ops *o)
{
	return lseek(o->g.fd, 0, SEEK_HOLE);
}

static int do_sendfile_from(struct ops *o)
{
	off_t offset = 0;

	return sendfile(o->pipe[1], o->g.fd, &offset, PAGE_SIZE);
}

static int do_sendfile_to(struct ops *o)
{
	off_t offset = 0;

	return sendfile(o->g.fd, o->other, &offset, PAGE_SIZE);
}

static int do_splice_from(struct ops *o)
{
	loff_t offset = 0;

	return splice(o->g.fd, &offset, o->pipe[1], NULL, PAGE_SIZE, 0);
}

static int do_splice_to(struct ops *o)
{
	loff_t offset = 0;
	int ret, error;
	char byte;

	TEST_ASSERT_EQ(write(o->pipe[1], "x", 1), 1);
	ret = splice(o->pipe[0], NULL, o->g.fd, &offset, 1, 0);
	error = errno;
	TEST_ASSERT_EQ(read(o->pipe[0], &byte, 1), 1);
	errno = error;
	return ret;
}

static int do_copy_from(struct ops *o)
{
	loff_t from = 0, to = PAGE_SIZE;

	return copy_file_range(o->g.fd, &from, o->g.fd, &to, PAGE_SIZE, 0);
}

static int do_copy_to(struct ops *o)
{
	loff_t from = 0, to = 0;

	return copy_file_range(o->other, &from, o->g.fd, &to, PAGE_SIZE, 0);
}

static int do_clone(struct ops *o)
{
	return ioctl(o->g.fd, FICLONE, o->other);
}

static int do_ftruncate_0(struct ops *o)
{
	return ftruncate(o->g.fd, 0);
}

static int do_ftruncate_same(struct ops *o)
{
	return ftruncate(o->g.fd, o->size);
}

static int do_ftruncate_more(struct ops *o)
{
	return ftruncate(o->g.fd, o->size + SZ_2M);
}

static const char *proc_path(struct ops *o)
{
	static char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", o->g.fd);
	return path;
}

static int do_truncate(struct ops *o)
{
	return truncate(proc_path(o), PAGE_SIZE);
}

static int do_open(struct ops *o)
{
	return open(proc_path(o), O_RDWR);
}

static int do_open_trunc(struct ops *o)
{
	return open(proc_path(o), O_RDWR | O_TRUNC);
}

static int do_swapon(struct ops *o)
{
	return swapon(proc_path(o), 0);
}

static int do_exec(struct ops *o)
{
	char *args = NULL;

	return syscall(SYS_execveat, o->g.fd, "", &args, &args, AT_EMPTY_PATH);
}

static int do_fchmod(struct ops *o)
{
	return fchmod(o->g.fd, 0777);
}

static int do_fchown(struct ops *o)
{
	return fchown(o->g.fd, 1, 1);
}

static int do_futimens(struct ops *o)
{
	return futimens(o->g.fd, NULL);
}

static int do_fsync(struct ops *o)
{
	return fsync(o->g.fd);
}

static int do_epoll(struct ops *o)
{
	struct epoll_event event = { .events = EPOLLIN };
	int fd = epoll_create1(0), ret, error;

	ret = epoll_ctl(fd, EPOLL_CTL_ADD, o->g.fd, &event);
	error = errno;
	kvm_close(fd);
	errno = error;
	return ret;
}

static int do_add_seals(struct ops *o)
{
	return fcntl(o->g.fd, F_ADD_SEALS, F_SEAL_SHRINK);
}

static int do_get_seals(struct ops *o)
{
	return fcntl(o->g.fd, F_GET_SEALS);
}

static int do_pipe_size(struct ops *o)
{
	return fcntl(o->g.fd, F_SETPIPE_SZ, PAGE_SIZE);
}

static int do_direct(struct ops *o)
{
	return fcntl(o->g.fd, F_SETFL, O_DIRECT);
}

static int do_fibmap(struct ops *o)
{
	int block = 0;

	return ioctl(o->g.fd, FIBMAP, &block);
}

static int do_fiemap(struct ops *o)
{
	struct fiemap map = { .fm_length = FIEMAP_MAX_OFFSET };

	return ioctl(o->g.fd, FS_IOC_FIEMAP, &map);
}

static int do_getflags(struct ops *o)
{
	long flags = 0;

	return ioctl(o->g.fd, FS_IOC_GETFLAGS, &flags);
}

static int do_getdents(struct ops *o)
{
	char entries[256];

	return syscall(SYS_getdents64, o->g.fd, entries, sizeof(entries));
}

#define OP(_name, _want) { #_name, do_##_name, _want }

static const struct {
	const char *name;
	int (*fn)(struct ops *o);
	int want;
} refused[] = {
	OP(read, EINVAL), OP(pread, ESPIPE), OP(write, EINVAL), OP(pwrite, ESPIPE),
	OP(writev, EINVAL), OP(lseek, ESPIPE), OP(lseek_hole, ESPIPE),
	OP(sendfile_from, ESPIPE), OP(sendfile_to, EINVAL), OP(splice_from, EINVAL),
	OP(splice_to, EINVAL), OP(copy_from, EINVAL), OP(copy_to, EXDEV),
	OP(clone, EXDEV), OP(ftruncate_0, EINVAL), OP(ftruncate_same, EINVAL),
	OP(ftruncate_more, EINVAL), OP(truncate, EINVAL), OP(open, ENXIO),
	OP(open_trunc, ENXIO), OP(swapon, ENXIO), OP(exec, EACCES), OP(fchmod, EINVAL),
	OP(fchown, EINVAL), OP(futimens, EINVAL), OP(fsync, EINVAL), OP(epoll, EPERM),
	OP(add_seals, EINVAL), OP(get_seals, EINVAL), OP(pipe_size, EBADF),
	OP(direct, EINVAL), OP(fibmap, ENOTTY), OP(fiemap, EOPNOTSUPP),
	OP(getflags, ENOTTY), OP(getdents, ENOTDIR),
};

TEST_F_TIMEOUT(guest_memfd_file_ops, refused, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(refused); i++) {
		ret = refused[i].fn(o);
		TEST_ASSERT(ret < 0 && errno == refused[i].want, "%s: %d, %s, wanted %s",
			    refused[i].name, ret, strerror(errno),
			    strerror(refused[i].want));
		assert_unchanged(o, refused[i].name);
	}
}

/* Extents that the first @size bytes from @offset on touch, and are wholly in. */
static u64 extents_touched(u64 offset, u64 size)
{
	return (offset + size + SZ_2M - 1) / SZ_2M - offset / SZ_2M;
}

static u64 extents_inside(struct ops *o, u64 offset, u64 size)
{
	u64 end = min_t(u64, offset + size, o->size) / SZ_2M;
	u64 start = (offset + SZ_2M - 1) / SZ_2M;

	return end > start ? end - start : 0;
}

/* Of an empty file or a full one, for it to be known what there is to be. */
static void try_good_fallocate(struct ops *o, int mode, u64 offset, u64 len)
{
	u64 want = extents_touched(offset, len);

	kvm_fallocate(o->g.fd, mode == KEEP ? PUNCH : KEEP, 0, o->size);
	kvm_fallocate(o->g.fd, mode, offset, len);
	if (mode != KEEP)
		want = NR_EXTENTS - extents_inside(o, offset, len);
	TEST_ASSERT(!o->g.config.order || gmem_blocks(o->g.fd) == want * SZ_2M / 512,
		    "fallocate(0x%x, 0x%lx, 0x%lx): %lu blocks", mode, offset, len,
		    gmem_blocks(o->g.fd));
	gmem_quick_read(o->g.fd, &o->before);
}

static void try_fallocate(struct ops *o, int mode, s64 offset, s64 len)
{
	int want = gmem_contract_fallocate(o->size, mode, offset, len), ret;

	if (!want)
		return try_good_fallocate(o, mode, offset, len);

	ret = fallocate(o->g.fd, mode, offset, len);
	TEST_ASSERT(ret && errno == -want,
		    "fallocate(0x%x, 0x%lx, 0x%lx): %d, %s, wanted %s", mode, offset,
		    len, ret, strerror(errno), strerror(-want));
	gmem_quick_assert_same(o->g.fd, &o->before, "fallocate()");
}

TEST_F_TIMEOUT(guest_memfd_file_ops, fallocate_modes, GMEM_TIMEOUT)
{
	static const s64 ranges[][2] = {
		{ 0, PAGE_SIZE }, { 1, PAGE_SIZE }, { 0, 0 }, { -1, 1 },
		{ LLONG_MAX - 1, 2 }, { NR_EXTENTS * SZ_2M, PAGE_SIZE },
	};
	struct ops *o = &self->ops;
	unsigned int mode, i;

	for (i = 0; i < ARRAY_SIZE(ranges); i++) {
		for (mode = 0; mode < 256; mode++)
			try_fallocate(o, mode, ranges[i][0], ranges[i][1]);
		for (mode = 256; mode; mode <<= 1) {
			try_fallocate(o, mode, ranges[i][0], ranges[i][1]);
			try_fallocate(o, mode | PUNCH, ranges[i][0], ranges[i][1]);
		}
	}
}

TEST_F_TIMEOUT(guest_memfd_file_ops, fallocate_ranges, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	const s64 edges[] = {
		LLONG_MIN, -o->size, -PAGE_SIZE, -1, 0, 1, PAGE_SIZE - 1, PAGE_SIZE,
		SZ_2M - PAGE_SIZE, SZ_2M, SZ_2M + PAGE_SIZE, o->size - PAGE_SIZE,
		o->size - 1, o->size, o->size + PAGE_SIZE, BIT_ULL(32), BIT_ULL(44),
		BIT_ULL(62), LLONG_MAX - o->size, LLONG_MAX - PAGE_SIZE,
		LLONG_MAX - PAGE_SIZE + 1, LLONG_MAX,
	};
	unsigned int i, nr = ARRAY_SIZE(edges);

	for (i = 0; i < nr * nr; i++) {
		try_fallocate(o, KEEP, edges[i / nr], edges[i % nr]);
		try_fallocate(o, PUNCH, edges[i / nr], edges[i % nr]);
	}
}

/* Mappings */
static int map_error(struct ops *o, u64 len, int prot, int flags, u64 offset)
{
	void *mem = mmap(NULL, len, prot, flags, o->g.fd, offset);

	if (mem == MAP_FAILED)
		return errno;
	kvm_munmap(mem, len);
	return 0;
}

TEST_F_TIMEOUT(guest_memfd_file_ops, mmap, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	int rw = PROT_READ | PROT_WRITE;
	int last = gmem_has_mmap(&o->g) ? 0 : ENODEV;
	const struct {
		u64 len;
		int prot, flags;
		u64 offset;
		int want;
	} maps[] = {
		{ o->size, rw, MAP_SHARED, 0, last },
		{ o->size, PROT_NONE, MAP_SHARED, 0, last },
		{ o->size, PROT_WRITE, MAP_SHARED_VALIDATE, 0, last },
		{ 1, PROT_READ, MAP_SHARED, o->size - PAGE_SIZE, last },
		{ PAGE_SIZE, PROT_READ, MAP_SHARED, o->size, last },
		{ o->size + SZ_2M, PROT_READ, MAP_SHARED, SZ_2M, last },
		{ PAGE_SIZE, PROT_READ, MAP_SHARED, BIT_ULL(63) - 2 * PAGE_SIZE, last },
		{ o->size, rw, MAP_SHARED | MAP_POPULATE | MAP_LOCKED, 0, last },
		{ PAGE_SIZE, rw, MAP_PRIVATE, 0, last ?: EINVAL },
		{ PAGE_SIZE, PROT_READ, MAP_PRIVATE, 0, last ?: EINVAL },
		{ PAGE_SIZE, rw | PROT_EXEC, MAP_SHARED, 0, EPERM },
		{ PAGE_SIZE, PROT_EXEC, MAP_PRIVATE, 0, EPERM },
		{ 0, rw, MAP_SHARED, 0, EINVAL },
		{ PAGE_SIZE, rw, MAP_SHARED, 1, EINVAL },
		{ PAGE_SIZE, rw, 0, 0, EINVAL },
		{ PAGE_SIZE, rw, MAP_SHARED | MAP_HUGETLB, 0, EINVAL },
		{ PAGE_SIZE, rw, MAP_SHARED_VALIDATE | MAP_SYNC, 0, EOPNOTSUPP },
		{ 2 * PAGE_SIZE, rw, MAP_SHARED, BIT_ULL(63) - PAGE_SIZE, EOVERFLOW },
		{ PAGE_SIZE, rw, MAP_SHARED, -PAGE_SIZE, EOVERFLOW },
	};
	unsigned int i;
	int ret;

	for (i = 0; i < ARRAY_SIZE(maps); i++) {
		ret = map_error(o, maps[i].len, maps[i].prot, maps[i].flags, maps[i].offset);
		TEST_ASSERT(ret == maps[i].want, "mmap() %u: %s, wanted %s", i,
			    strerror(ret), strerror(maps[i].want));
		assert_unchanged(o, "mmap()");
	}
}

static void *map_file(struct ops *o, u64 page, u64 nr)
{
	void *mem = mmap(NULL, nr * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED,
			 o->g.fd, page * PAGE_SIZE);

	TEST_ASSERT(mem != MAP_FAILED, "mmap() failed, errno: %d", errno);
	return mem;
}

/* Nothing is behind the end, however a mapping has come to be there. */
TEST_F_TIMEOUT(guest_memfd_file_ops, beyond_the_end, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	u64 last = o->g.nr_pages - 1;
	u8 *mem, *far;

	if (!gmem_has_mmap(&o->g))
		return;

	mem = map_file(o, last, 1);
	mem = mremap(mem, PAGE_SIZE, 3 * PAGE_SIZE, MREMAP_MAYMOVE);
	TEST_ASSERT(mem != MAP_FAILED, "mremap() failed, errno: %d", errno);
	far = map_file(o, BIT_ULL(51) - 2, 1);
	TEST_ASSERT_EQ(gmem_host_access(mem + PAGE_SIZE, false), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(mem + 2 * PAGE_SIZE, true), BUS_ADRERR);
	TEST_ASSERT_EQ(gmem_host_access(far, true), BUS_ADRERR);
	TEST_ASSERT(madvise(mem, 3 * PAGE_SIZE, MADV_POPULATE_WRITE) && errno == EFAULT,
		    "Populating, errno: %d", errno);
	assert_unchanged(o, "Access behind the end");
	kvm_munmap(mem, 3 * PAGE_SIZE);
	kvm_munmap(far, PAGE_SIZE);
}

/* All mappings of a page go when it becomes private, wherever they were moved. */
TEST_F_TIMEOUT(guest_memfd_file_ops, mremap, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	u64 len = SHARED_PAGES * PAGE_SIZE;
	u8 *mems[4];
	int i;

	if (!gmem_in_place(&o->g))
		return;

	mems[0] = map_file(o, o->first, SHARED_PAGES);
	mems[1] = mremap(mems[0], 0, len, MREMAP_MAYMOVE);
	mems[2] = map_file(o, o->first, SHARED_PAGES);
	TEST_ASSERT_EQ(gmem_host_access(mems[2], true), 0);
	/* The C library may pass any hint of an address. */
	mems[3] = (u8 *)syscall(SYS_mremap, mems[2], len, len,
				MREMAP_MAYMOVE | MREMAP_DONTUNMAP, NULL);
	for (i = 0; i < ARRAY_SIZE(mems); i++) {
		TEST_ASSERT(mems[i] != MAP_FAILED, "mremap() %d failed", i);
		TEST_ASSERT(!memcmp(mems[i], gmem_host_page(&o->g, o->first), len),
			    "Mapping %d has other contents", i);
	}
	TEST_ASSERT(mprotect(mems[1], len, PROT_READ | PROT_EXEC) && errno == EACCES,
		    "mprotect(), errno: %d", errno);
	TEST_ASSERT(!mprotect(mems[1], len, PROT_NONE), "mprotect(), errno: %d", errno);
	assert_unchanged(o, "mremap()");

	gmem_convert(&o->g, o->first, SHARED_PAGES, true);
	TEST_ASSERT(!mprotect(mems[1], len, PROT_READ | PROT_WRITE), "mprotect()");
	for (i = 0; i < ARRAY_SIZE(mems); i++) {
		TEST_ASSERT_EQ(gmem_host_access(mems[i], true), BUS_ADRERR);
		kvm_munmap(mems[i], len);
	}
	gmem_guest_check(&o->g, o->first, SHARED_PAGES, GMEM_STEP_ALL);
}

/* Which advice is good for a shared mapping of a file; 0 or minus an errno. */
static int advice_error(struct ops *o, int advice)
{
	switch (advice) {
	case MADV_NORMAL:
	case MADV_RANDOM:
	case MADV_SEQUENTIAL:
	case MADV_WILLNEED:
	case MADV_DONTNEED:
	case MADV_DONTNEED_LOCKED:
	case MADV_DONTFORK:
	case MADV_DOFORK:
	case MADV_MERGEABLE:
	case MADV_UNMERGEABLE:
	case MADV_HUGEPAGE:
	case MADV_NOHUGEPAGE:
	case MADV_DONTDUMP:
	case MADV_DODUMP:
	case MADV_KEEPONFORK:
	case MADV_COLD:
	case MADV_PAGEOUT:
	case MADV_GUARD_INSTALL:
	case MADV_GUARD_REMOVE:
		return 0;
	case MADV_POPULATE_READ:
	case MADV_POPULATE_WRITE:
		return gmem_in_place(&o->g) ? 0 : -EFAULT;
	case MADV_SOFT_OFFLINE:
		return gmem_in_place(&o->g) ? -EOPNOTSUPP : -EFAULT;
	default:
		return -EINVAL;
	}
}

/* Pages go to and fro, whatever was said about a mapping of them. */
static void convert_mapped(struct ops *o, u8 *mem, bool guarded)
{
	gmem_convert(&o->g, o->first, SHARED_PAGES, true);
	TEST_ASSERT_EQ(gmem_host_access(gmem_host_page(&o->g, o->first), false), BUS_ADRERR);
	if (!guarded)
		TEST_ASSERT_EQ(gmem_host_access(mem, false), BUS_ADRERR);
	gmem_convert(&o->g, o->first, SHARED_PAGES, false);
	gmem_host_check(&o->g, o->first, GMEM_STEP_ALL);
	gmem_quick_read(o->g.fd, &o->before);
}

static void try_advice(struct ops *o, int advice)
{
	int want = advice_error(o, advice), ret;
	u8 *mem = map_file(o, o->first, SHARED_PAGES);
	char what[32];

	snprintf(what, sizeof(what), "Advice %d", advice);
	if (gmem_in_place(&o->g))
		gmem_host_access(mem, true);
	ret = madvise(mem, SHARED_PAGES * PAGE_SIZE, advice);
	TEST_ASSERT(want ? ret && errno == -want : !ret, "%s: %d, %s, wanted %s", what,
		    ret, strerror(ret ? errno : 0), strerror(-want));
	assert_unchanged(o, what);

	if (gmem_in_place(&o->g)) {
		convert_mapped(o, mem, advice == MADV_GUARD_INSTALL);
		assert_unchanged(o, what);
	}
	kvm_munmap(mem, SHARED_PAGES * PAGE_SIZE);
}

TEST_F_TIMEOUT(guest_memfd_file_ops, madvise, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	int advice;

	if (!gmem_has_mmap(&o->g))
		return;

	for (advice = -1; advice < 128; advice++) {
		/* One poisons the page, which guest_memfd_hwpoison_test does. */
		if (advice == MADV_HWPOISON || advice == MADV_REMOVE)
			continue;
		/* With pages of 4K, it is up to the base kernel what it tries. */
		if (advice == MADV_SOFT_OFFLINE && !o->g.config.order)
			continue;
		try_advice(o, advice);
	}
	try_advice(o, INT_MAX);
	try_advice(o, INT_MIN);
}

/* A hole in shared and private memory, by way of a mapping. */
TEST_F_TIMEOUT(guest_memfd_file_ops, madvise_remove, GMEM_TIMEOUT)
{
	struct ops *o = &self->ops;
	u64 nr = SHARED_PAGES + 2, first = o->first - 1;
	u8 *mem;

	if (!gmem_has_mmap(&o->g))
		return;

	mem = map_file(o, first, nr);
	TEST_ASSERT(!madvise(mem, nr * PAGE_SIZE, MADV_REMOVE), "errno: %d", errno);
	kvm_munmap(mem, nr * PAGE_SIZE);
	gmem_set_tags(&o->g, first, nr, 0);
	assert_unchanged(o, "A hole");
}

TEST_HARNESS_MAIN
