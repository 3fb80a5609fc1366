// SPDX-License-Identifier: GPL-2.0-only
/*
 * What the tools do through KVM alike: a VM of type KVM_X86_SW_PROTECTED_VM
 * with one vCPU, memory from a guest_memfd, mapped up front if need be, and
 * conversions between private and shared.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/bits.h>

#include "error.h"
#include "vm.h"

#define CPUID_ENTRIES	256

#define CPUID_EXT_FEATURES	0x80000001
#define CPUID_EDX_PDPE1GB	BIT(26)

static int check_extension(int fd, long capability)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, capability);
}

static void check_vm(struct vm *vm)
{
	if (!(check_extension(vm->vm_fd, KVM_CAP_GUEST_MEMFD_FLAGS) &
	      GUEST_MEMFD_FLAG_HUGETLB))
		cannot_run("no huge guest_memfd: set CONFIG_KVM_GUEST_MEMFD_HUGETLB");
	if (check_extension(vm->vm_fd, KVM_CAP_GUEST_MEMFD_MEMORY_ATTRIBUTES) <= 0)
		cannot_run("no attributes per file: load kvm with vm_memory_attributes=0");
	if (!(check_extension(vm->vm_fd, KVM_CAP_MEMORY_ATTRIBUTES2_FLAGS) &
	      KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE))
		cannot_run("conversions do not preserve contents (capability 253)");
}

void vm_set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size, void *host,
		 int gmem_fd)
{
	struct kvm_userspace_memory_region2 region = {
		.slot = slot,
		.flags = gmem_fd < 0 ? 0 : KVM_MEM_GUEST_MEMFD,
		.guest_phys_addr = gpa,
		.memory_size = size,
		.userspace_addr = (uintptr_t)host,
		.guest_memfd = gmem_fd < 0 ? 0 : gmem_fd,
	};

	if (ioctl(vm->vm_fd, KVM_SET_USER_MEMORY_REGION2, &region))
		cannot_run("KVM_SET_USER_MEMORY_REGION2 for slot %u: %s", slot,
			   strerror(errno));
}

void vm_add_gmem(struct vm *vm, u64 page_size, u64 size)
{
	struct kvm_create_guest_memfd args = {
		.size = size,
		.flags = GUEST_MEMFD_FLAG_MMAP,
		.page_order = __builtin_ctzl(page_size / PAGE_SIZE),
	};

	if (args.page_order)
		args.flags |= GUEST_MEMFD_FLAG_HUGETLB;
	vm->page_size = page_size;
	vm->size = size;
	vm->gmem_fd = ioctl(vm->vm_fd, KVM_CREATE_GUEST_MEMFD, &args);
	if (vm->gmem_fd < 0)
		cannot_run("KVM_CREATE_GUEST_MEMFD of %lu KiB in pages of %lu KiB: %s",
			   size >> 10, page_size >> 10, strerror(errno));

	vm->shared = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  vm->gmem_fd, 0);
	if (vm->shared == MAP_FAILED)
		cannot_run("mmap of the guest_memfd: %s", strerror(errno));
	vm_set_slot(vm, GMEM_SLOT, GMEM_GPA, size, vm->shared, vm->gmem_fd);
}

/* Give the vCPU the CPU's features: 64-bit mode and 1G pages are among them. */
static void set_cpuid(struct vm *vm)
{
	struct kvm_cpuid2 *cpuid;
	u32 i, edx = 0;

	cpuid = calloc(1, sizeof(*cpuid) + CPUID_ENTRIES * sizeof(cpuid->entries[0]));
	if (!cpuid)
		cannot_run("out of memory");
	cpuid->nent = CPUID_ENTRIES;
	if (ioctl(vm->kvm_fd, KVM_GET_SUPPORTED_CPUID, cpuid) ||
	    ioctl(vm->vcpu_fd, KVM_SET_CPUID2, cpuid))
		cannot_run("KVM_SET_CPUID2: %s", strerror(errno));

	for (i = 0; i < cpuid->nent; i++) {
		if (cpuid->entries[i].function == CPUID_EXT_FEATURES)
			edx = cpuid->entries[i].edx;
	}
	free(cpuid);
	if (!(edx & CPUID_EDX_PDPE1GB))
		cannot_run("the CPU has no 1G pages (pdpe1gb)");
}

static void create_vcpu(struct vm *vm)
{
	int run_size = ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);

	vm->vcpu_fd = ioctl(vm->vm_fd, KVM_CREATE_VCPU, 0);
	if (vm->vcpu_fd < 0)
		cannot_run("KVM_CREATE_VCPU: %s", strerror(errno));
	vm->run = mmap(NULL, run_size, PROT_READ | PROT_WRITE, MAP_SHARED,
		       vm->vcpu_fd, 0);
	if (vm->run == MAP_FAILED)
		cannot_run("mmap of the vCPU: %s", strerror(errno));
	set_cpuid(vm);
}

void vm_create(struct vm *vm)
{
	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		cannot_run("/dev/kvm: %s: load kvm_amd or kvm_intel, and run as root",
			   strerror(errno));
	if (!(check_extension(vm->kvm_fd, KVM_CAP_VM_TYPES) &
	      (1 << KVM_X86_SW_PROTECTED_VM)))
		cannot_run("no software-protected VMs: set CONFIG_KVM_SW_PROTECTED_VM");
	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	if (vm->vm_fd < 0)
		cannot_run("KVM_CREATE_VM: %s", strerror(errno));
	check_vm(vm);

	vm->stats_fd = ioctl(vm->vm_fd, KVM_GET_STATS_FD, NULL);
	if (vm->stats_fd < 0)
		cannot_run("KVM_GET_STATS_FD: %s", strerror(errno));
	create_vcpu(vm);
}

void vm_pre_fault(struct vm *vm, u64 gpa, u64 size)
{
	struct kvm_pre_fault_memory range = { .gpa = gpa, .size = size };

	while (range.size) {
		if (ioctl(vm->vcpu_fd, KVM_PRE_FAULT_MEMORY, &range) &&
		    errno != EINTR && errno != EAGAIN)
			cannot_run("KVM_PRE_FAULT_MEMORY: %s", strerror(errno));
	}
}

void vm_convert(struct vm *vm, u64 offset, u64 size, int to_private, u64 flags)
{
	struct kvm_memory_attributes2 args = {
		.offset = offset,
		.size = size,
		.attributes = to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
		.flags = flags,
		.error_offset = ~0ul,
	};

	if (ioctl(vm->gmem_fd, KVM_SET_MEMORY_ATTRIBUTES2, &args))
		die(EXIT_FAULT, "making %lu pages at offset 0x%lx %s: %s, error_offset 0x%llx",
		    size / PAGE_SIZE, offset, to_private ? "private" : "shared",
		    strerror(errno), args.error_offset);
}

void vm_destroy(struct vm *vm)
{
	close(vm->stats_fd);
	munmap(vm->run, ioctl(vm->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0));
	close(vm->vcpu_fd);
	munmap(vm->shared, vm->size);
	close(vm->gmem_fd);
	close(vm->vm_fd);
	close(vm->kvm_fd);
}
