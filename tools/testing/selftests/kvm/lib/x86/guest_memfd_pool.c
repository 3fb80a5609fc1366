// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files on a HugeTLB pool, guest_memfd or hugetlbfs, for the selftests of
 * accounting.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <linux/falloc.h>

#include "guest_memfd_pool.h"

/* A page of the extent to share. */
#define SHARED_PAGE	7

static void hugetlbfs_path(const struct hugetlb_file *file, char *path, size_t size)
{
	snprintf(path, size, "%s/file", file->dir);
}

static int hugetlbfs_open(struct hugetlb_file *file)
{
	u64 size = file->nr * file->page_size;
	char options[128], path[64];
	int error;

	snprintf(file->dir, sizeof(file->dir), "/tmp/hugetlbfs.XXXXXX");
	TEST_ASSERT(mkdtemp(file->dir), "mkdtemp(%s), errno: %d", file->dir, errno);
	snprintf(options, sizeof(options), "pagesize=%lu,size=%lu,min_size=%lu",
		 file->page_size, size, size);
	if (mount("none", file->dir, "hugetlbfs", 0, options)) {
		error = errno;
		rmdir(file->dir);
		return error;
	}

	hugetlbfs_path(file, path, sizeof(path));
	file->fd = open(path, O_RDWR | O_CREAT, 0600);
	TEST_ASSERT(file->fd >= 0, "Opening %s, errno: %d", path, errno);
	TEST_ASSERT(!ftruncate(file->fd, size), "ftruncate(), errno: %d", errno);
	return 0;
}

static void hugetlbfs_close(struct hugetlb_file *file)
{
	char path[64];

	hugetlbfs_path(file, path, sizeof(path));
	TEST_ASSERT(!unlink(path) && !umount(file->dir) && !rmdir(file->dir),
		    "Removing %s, errno: %d", file->dir, errno);
}

int __hugetlb_file_open(struct hugetlb_file *file, u64 nr)
{
	file->page_size = gmem_page_size(file->order);
	file->nr = nr;
	file->mem = NULL;
	if (file->hugetlbfs)
		return hugetlbfs_open(file);

	file->fd = __gmem_create(file->vm, nr * file->page_size,
				 GUEST_MEMFD_FLAG_MMAP, file->order);
	return file->fd < 0 ? errno : 0;
}

void hugetlb_file_open(struct hugetlb_file *file, u64 nr)
{
	TEST_ASSERT_EQ(__hugetlb_file_open(file, nr), 0);
}

/* With the last reference to the file gone, its pages are back on return. */
void hugetlb_file_close(struct hugetlb_file *file)
{
	if (file->mem)
		kvm_munmap(file->mem, file->nr * file->page_size);
	kvm_close(file->fd);
	if (file->hugetlbfs)
		hugetlbfs_close(file);
}

void hugetlb_file_map(struct hugetlb_file *file)
{
	file->mem = kvm_mmap(file->nr * file->page_size, PROT_READ | PROT_WRITE,
			     MAP_SHARED, file->fd);
}

/* The policy of a hugetlbfs is its mapping's. */
int hugetlb_file_allocate(struct hugetlb_file *file, u64 page)
{
	if (file->hugetlbfs && file->mem)
		return gmem_host_access(file->mem + page * file->page_size, true) ? ENOSPC : 0;

	return fallocate(file->fd, file->hugetlbfs ? 0 : FALLOC_FL_KEEP_SIZE,
			 page * file->page_size, file->page_size) ? errno : 0;
}

void hugetlb_file_punch(struct hugetlb_file *file, u64 page)
{
	kvm_fallocate(file->fd, FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE,
		      page * file->page_size, file->page_size);
}

static void set_attributes(struct hugetlb_file *file, u64 page, u64 attributes)
{
	u64 offset = page * file->page_size + SHARED_PAGE * PAGE_SIZE;

	TEST_ASSERT_EQ(gmem_set_attributes(file->fd, offset, PAGE_SIZE, attributes, 0, NULL), 0);
}

void hugetlb_file_split(struct hugetlb_file *file, u64 page)
{
	u64 index = page << file->order, pfn, before;

	if (file->hugetlbfs)
		return;

	pfn = gmem_extent_pfn(file->fd, index);
	before = gmem_count_folios(file->fd, 0);
	set_attributes(file, page, 0);
	TEST_ASSERT_EQ(gmem_count_folios(file->fd, 0), before + 512);
	TEST_ASSERT_EQ(gmem_extent_pfn(file->fd, index), pfn);
}

/* Merging may take its time. */
void hugetlb_file_merge(struct hugetlb_file *file, u64 page)
{
	u64 index = page << file->order, pfn, before;

	if (file->hugetlbfs)
		return;

	pfn = gmem_extent_pfn(file->fd, index);
	before = gmem_count_folios(file->fd, file->order);
	set_attributes(file, page, KVM_MEMORY_ATTRIBUTE_PRIVATE);
	gmem_wait_folios(file->fd, file->order, before + 1);
	TEST_ASSERT_EQ(gmem_extent_pfn(file->fd, index), pfn);
}
