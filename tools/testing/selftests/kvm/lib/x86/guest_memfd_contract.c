// SPDX-License-Identifier: GPL-2.0-only
/*
 * The contract of calls on guest_memfds, for the selftests: which error it must
 * be for any arguments.  Written from the documents, with checks in the order of
 * their tables, and with arithmetic that cannot overflow.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst, and
 * Documentation/virt/kvm/api.rst for what is not special to HugeTLB pages.
 */
#include <fcntl.h>
#include <sys/stat.h>
#include <linux/falloc.h>
#include <unistd.h>

#include "guest_memfd_contract.h"
#include "guest_memfd_state.h"

/* The headers of the C library need not have it. */
#ifndef FALLOC_FL_WRITE_ZEROES
#define FALLOC_FL_WRITE_ZEROES	0x80
#endif

#define FALLOCATE_MODES		(FALLOC_FL_PUNCH_HOLE | FALLOC_FL_COLLAPSE_RANGE | \
				 FALLOC_FL_ZERO_RANGE | FALLOC_FL_INSERT_RANGE | \
				 FALLOC_FL_UNSHARE_RANGE | FALLOC_FL_WRITE_ZEROES)
#define CONTENT_FLAGS		(KVM_SET_MEMORY_ATTRIBUTES2_ZERO | \
				 KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE)
/* More pages than this have no place in a memslot. */
#define SLOT_PAGES_MAX		(BIT_ULL(31) - 1)

static bool is_zero(const void *bytes, size_t size)
{
	const u8 *byte = bytes;

	while (size && !byte[size - 1])
		size--;
	return !size;
}

static u64 pages_available(u64 page_size)
{
	return hugetlb_pool_get(-1, page_size, "free_hugepages") -
	       hugetlb_pool_get(-1, page_size, "resv_hugepages") +
	       hugetlb_pool_get(-1, page_size, "nr_overcommit_hugepages");
}

static int create_on_hugetlb(const struct kvm_create_guest_memfd *args)
{
	u64 page_size = gmem_page_size(args->page_order & 31);

	if ((args->page_order != ORDER_2M && args->page_order != ORDER_1G) ||
	    args->size % page_size || !is_zero(args->pad, sizeof(args->pad)) ||
	    !is_zero(args->reserved, sizeof(args->reserved)))
		return -EINVAL;

	return args->size / page_size > pages_available(page_size) ? -ENOMEM : 0;
}

int gmem_contract_create(unsigned long vm_type,
			 const struct kvm_create_guest_memfd *args)
{
	bool init_shared = !vm_type || !gmem_vm_wide_attributes();
	u64 flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_HUGETLB |
		    (init_shared ? GUEST_MEMFD_FLAG_INIT_SHARED : 0);

	if (args->flags & ~flags)
		return -EINVAL;
	if (!args->size || args->size >= BIT_ULL(63) || args->size % PAGE_SIZE)
		return -EINVAL;

	return args->flags & GUEST_MEMFD_FLAG_HUGETLB ? create_on_hugetlb(args) : 0;
}

int gmem_contract_set_attributes(const struct gmem_config *file,
				 const struct kvm_memory_attributes2 *args)
{
	bool to_private = args->attributes == KVM_MEMORY_ATTRIBUTE_PRIVATE;

	if (gmem_vm_wide_attributes())
		return -ENOTTY;

	if (!file->vm_type || (args->attributes && !to_private))
		return -EINVAL;
	if (!args->size || args->offset % PAGE_SIZE || args->size % PAGE_SIZE ||
	    (__uint128_t)args->offset + args->size > file->size)
		return -EINVAL;
	if (args->flags & ~CONTENT_FLAGS || args->flags == CONTENT_FLAGS ||
	    (to_private && args->flags & KVM_SET_MEMORY_ATTRIBUTES2_ZERO))
		return -EINVAL;
	if (!is_zero(args->reserved, sizeof(args->reserved)))
		return -EINVAL;

	return args->flags && !(file->flags & GUEST_MEMFD_FLAG_MMAP) ? -EOPNOTSUPP : 0;
}

/* What all files refuse, whatever they are able to do; see fallocate(2). */
static bool is_fallocate_mode(int mode)
{
	bool keep_size = mode & FALLOC_FL_KEEP_SIZE;

	if (mode & ~(FALLOCATE_MODES | FALLOC_FL_KEEP_SIZE))
		return false;

	switch (mode & FALLOCATE_MODES) {
	case 0:
	case FALLOC_FL_UNSHARE_RANGE:
	case FALLOC_FL_ZERO_RANGE:
		return true;
	case FALLOC_FL_PUNCH_HOLE:
		return keep_size;
	case FALLOC_FL_COLLAPSE_RANGE:
	case FALLOC_FL_INSERT_RANGE:
	case FALLOC_FL_WRITE_ZEROES:
		return !keep_size;
	default:
		return false;
	}
}

int gmem_contract_fallocate(u64 file_size, int mode, s64 offset, s64 len)
{
	if (offset < 0 || len <= 0)
		return -EINVAL;
	if (!is_fallocate_mode(mode))
		return -EOPNOTSUPP;
	if ((__uint128_t)offset + len >= BIT_ULL(63))
		return -EFBIG;
	if (mode != FALLOC_FL_KEEP_SIZE &&
	    mode != (FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE))
		return -EOPNOTSUPP;
	if (offset % PAGE_SIZE || len % PAGE_SIZE)
		return -EINVAL;

	/* A hole may reach past the end, where nothing is. */
	return mode == FALLOC_FL_KEEP_SIZE && offset + len > file_size ? -EINVAL : 0;
}

static bool overlap(u64 a, u64 size_a, u64 b, u64 size_b)
{
	return (__uint128_t)a < (__uint128_t)b + size_b && (__uint128_t)b < (__uint128_t)a + size_a;
}

/* The end of the address space of a process, less a guard page. */
static u64 user_end(void)
{
	return BIT_ULL(this_cpu_has(X86_FEATURE_LA57) ? 56 : 47) - PAGE_SIZE;
}

static u32 address_space(const struct kvm_userspace_memory_region2 *slot)
{
	return slot->slot >> 16;
}

static int check_region_fields(struct kvm_vm *vm,
			       const struct kvm_userspace_memory_region2 *args)
{
	bool gmem = args->flags & KVM_MEM_GUEST_MEMFD;
	u32 flags = KVM_MEM_GUEST_MEMFD |
		    (gmem ? 0 : KVM_MEM_LOG_DIRTY_PAGES | KVM_MEM_READONLY);

	/* Private memory is not writable by emulation, and always written. */
	if (args->flags & ~flags)
		return -EINVAL;
	if ((args->memory_size | args->guest_phys_addr | args->userspace_addr) % PAGE_SIZE ||
	    (__uint128_t)args->userspace_addr + args->memory_size > user_end())
		return -EINVAL;
	if (gmem && (args->guest_memfd_offset % PAGE_SIZE ||
		     (__uint128_t)args->guest_memfd_offset + args->memory_size > ULLONG_MAX))
		return -EINVAL;
	/* A VM with private memory has one address space, without SMM's. */
	if (address_space(args) >= vm_check_cap(vm, KVM_CAP_MULTI_ADDRESS_SPACE) ||
	    (u16)args->slot >= vm_check_cap(vm, KVM_CAP_NR_MEMSLOTS))
		return -EINVAL;
	if ((__uint128_t)args->guest_phys_addr + args->memory_size > ULLONG_MAX)
		return -EINVAL;

	return args->memory_size / PAGE_SIZE > SLOT_PAGES_MAX ? -EINVAL : 0;
}

static const struct kvm_userspace_memory_region2 *
slot_by_id(const struct gmem_slots *slots, u32 id)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		if (slots->slots[i].slot == id)
			return &slots->slots[i];
	}
	return NULL;
}

static int check_region_fd(const struct gmem_bindable *files, unsigned int nr_files,
			   const struct kvm_userspace_memory_region2 *args)
{
	unsigned int i;

	if (fcntl(args->guest_memfd, F_GETFD) < 0)
		return -EBADF;

	for (i = 0; i < nr_files && files[i].fd != args->guest_memfd; i++)
		;
	if (i == nr_files)
		return -EINVAL;

	return (__uint128_t)args->guest_memfd_offset + args->memory_size > files[i].size ?
	       -EINVAL : 0;
}

static bool gpa_is_taken(const struct gmem_slots *slots,
			 const struct kvm_userspace_memory_region2 *args)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		if (address_space(args) == address_space(&slots->slots[i]) &&
		    overlap(args->guest_phys_addr, args->memory_size,
			    slots->slots[i].guest_phys_addr,
			    slots->slots[i].memory_size))
			return true;
	}
	return false;
}

static bool is_bound(const struct gmem_slots *slots,
		     const struct kvm_userspace_memory_region2 *args)
{
	const struct kvm_userspace_memory_region2 *slot;
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		slot = &slots->slots[i];
		if (slot->flags & KVM_MEM_GUEST_MEMFD &&
		    slot->guest_memfd == args->guest_memfd &&
		    overlap(args->guest_memfd_offset, args->memory_size,
			    slot->guest_memfd_offset, slot->memory_size))
			return true;
	}
	return false;
}

/* Slots that exist may be deleted here, and not changed otherwise. */
int gmem_contract_region(struct kvm_vm *vm, const struct gmem_slots *slots,
			 const struct gmem_bindable *files, unsigned int nr_files,
			 const struct kvm_userspace_memory_region2 *args)
{
	u64 gpa_end = BIT_ULL(this_cpu_property(X86_PROPERTY_MAX_PHY_ADDR));
	const struct kvm_userspace_memory_region2 *old =
		slot_by_id(slots, args->slot);
	bool gmem = args->flags & KVM_MEM_GUEST_MEMFD;
	int ret;

	ret = check_region_fields(vm, args);
	if (ret)
		return ret;
	if (!args->memory_size)
		return old ? 0 : -EINVAL;
	if (old)
		return -EINVAL;
	if (gpa_is_taken(slots, args))
		return -EEXIST;

	ret = gmem ? check_region_fd(files, nr_files, args) : 0;
	if (ret)
		return ret;
	if (args->guest_phys_addr + args->memory_size > gpa_end)
		return -EINVAL;
	return gmem && is_bound(slots, args) ? -EEXIST : 0;
}

const struct kvm_userspace_memory_region2 *
gmem_contract_find_slot(const struct gmem_slots *slots, u64 gpa)
{
	unsigned int i;

	for (i = 0; i < slots->nr; i++) {
		if (overlap(gpa, 1, slots->slots[i].guest_phys_addr,
			    slots->slots[i].memory_size))
			return &slots->slots[i];
	}
	return NULL;
}

/* What follows the first page does not matter: less may be done than asked. */
int gmem_contract_pre_fault(const struct gmem_slots *slots,
			    const struct kvm_pre_fault_memory *args)
{
	if (args->flags || !args->size || (args->gpa | args->size) % PAGE_SIZE ||
	    (__uint128_t)args->gpa + args->size > ULLONG_MAX)
		return -EINVAL;

	return gmem_contract_find_slot(slots, args->gpa) ? 0 : -ENOENT;
}

static void add_slot(struct gmem_slots *slots,
		     const struct kvm_userspace_memory_region2 *slot)
{
	TEST_ASSERT(slots->nr < GMEM_SLOTS_MAX, "Too many slots");
	slots->slots[slots->nr++] = *slot;
}

void gmem_contract_slots(struct gmem_vm *g, struct gmem_slots *slots)
{
	struct kvm_userspace_memory_region2 slot = {
		.slot = GMEM_SLOT,
		.flags = KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = GMEM_GPA,
		.memory_size = g->config.size,
		.userspace_addr = (u64)g->shared,
		.guest_memfd = g->fd,
	};
	struct userspace_mem_region *region;
	int i;

	slots->nr = 0;
	add_slot(slots, &slot);
	hash_for_each(g->vm->regions.slot_hash, i, region, slot_node)
		add_slot(slots, &region->region);
}

/* The number that the next file gets; one more is one that has leaked. */
static int next_fd(void)
{
	int fd = dup(STDIN_FILENO);

	TEST_ASSERT(fd >= 0 && !close(fd), "dup() failed, errno: %d", errno);
	return fd;
}

void gmem_quick_read(int fd, struct gmem_quick *q)
{
	struct stat st;

	TEST_ASSERT(!fstat(fd, &st), "fstat() failed, errno: %d", errno);
	gmem_read_fdinfo(fd, q->fdinfo, sizeof(q->fdinfo));
	q->st_blocks = st.st_blocks;
	q->size = st.st_size;
	/* A file with pages of 4K must leave pools alone, whichever. */
	q->page_size = strstr(q->fdinfo, "gmem-page-size") ?
		       gmem_fdinfo_value(q->fdinfo, "page-size") * SZ_1K : SZ_2M;
	hugetlb_pool_read(q->page_size, &q->pool);
	q->next_fd = next_fd();
}

void gmem_quick_assert_same(int fd, const struct gmem_quick *was, const char *when)
{
	static struct gmem_quick is;

	gmem_quick_read(fd, &is);
	TEST_ASSERT(!strcmp(is.fdinfo, was->fdinfo), "%s: fdinfo is\n%sand was\n%s",
		    when, is.fdinfo, was->fdinfo);
	TEST_ASSERT(is.st_blocks == was->st_blocks && is.size == was->size,
		    "%s: %lu blocks of 0x%lx bytes, there were %lu of 0x%lx", when,
		    is.st_blocks, is.size, was->st_blocks, was->size);
	TEST_ASSERT(!memcmp(&is.pool, &was->pool, sizeof(is.pool)),
		    "%s: pool free %lu resv %lu, was %lu %lu", when, is.pool.free,
		    is.pool.resv, was->pool.free, was->pool.resv);
	TEST_ASSERT(is.next_fd == was->next_fd, "%s: the next file is %d, was %d",
		    when, is.next_fd, was->next_fd);
}
