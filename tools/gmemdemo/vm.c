// SPDX-License-Identifier: GPL-2.0-only
/*
 * Everything gmemdemo does through KVM: a VM of type KVM_X86_SW_PROTECTED_VM,
 * one vCPU that starts in 64-bit mode, memory, and conversions between private
 * and shared on the guest's request (KVM_HC_MAP_GPA_RANGE).
 *
 * The guest's code, stack and page tables are in a plain slot, as KVM may have
 * to decode instructions and reads them through the slot's userspace address.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <linux/bits.h>
#include <linux/kvm_para.h>

#include "error.h"
#include "vm.h"

#define PLAIN_SLOT	0
#define GMEM_SLOT	1
#define CPUID_ENTRIES	256

#define CR0_PE		BIT(0)
#define CR0_NE		BIT(5)
#define CR0_WP		BIT(16)
#define CR0_PG		BIT(31)
#define CR4_PAE		BIT(5)
#define EFER_LME	BIT(8)
#define EFER_LMA	BIT(10)
#define PTE_PRESENT	BIT(0)
#define PTE_WRITABLE	BIT(1)
#define PTE_HUGE	BIT(7)

#define CPUID_EXT_FEATURES	0x80000001
#define CPUID_EDX_PDPE1GB	BIT(26)
#define VENDOR_EBX_AMD		0x68747541	/* "Auth" */
#define VENDOR_EBX_HYGON	0x6f677948	/* "Hygo" */

static int check_extension(int fd, long capability)
{
	return ioctl(fd, KVM_CHECK_EXTENSION, capability);
}

static void check_kernel(struct vm *vm)
{
	if (!(check_extension(vm->kvm_fd, KVM_CAP_VM_TYPES) &
	      (1 << KVM_X86_SW_PROTECTED_VM)))
		cannot_run("no software-protected VMs: set CONFIG_KVM_SW_PROTECTED_VM");
	if (!(check_extension(vm->kvm_fd, KVM_CAP_EXIT_HYPERCALL) &
	      (1 << KVM_HC_MAP_GPA_RANGE)))
		cannot_run("the kernel keeps KVM_HC_MAP_GPA_RANGE to itself (capability 201)");
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

static void set_slot(struct vm *vm, u32 slot, u64 gpa, u64 size,
		     void *host, int gmem_fd)
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

static void create_gmem(struct vm *vm)
{
	struct kvm_create_guest_memfd args = {
		.size = vm->size,
		.flags = GUEST_MEMFD_FLAG_MMAP | GUEST_MEMFD_FLAG_HUGETLB,
		.page_order = __builtin_ctzl(vm->page_size / PAGE_SIZE),
	};

	vm->gmem_fd = ioctl(vm->vm_fd, KVM_CREATE_GUEST_MEMFD, &args);
	if (vm->gmem_fd < 0)
		cannot_run("KVM_CREATE_GUEST_MEMFD of %lu MiB of %lu MiB pages: %s",
			   vm->size >> 20, vm->page_size >> 20, strerror(errno));

	vm->shared = mmap(NULL, vm->size, PROT_READ | PROT_WRITE, MAP_SHARED,
			  vm->gmem_fd, 0);
	if (vm->shared == MAP_FAILED)
		cannot_run("mmap of the guest_memfd: %s", strerror(errno));
	set_slot(vm, GMEM_SLOT, GMEM_GPA, vm->size, vm->shared, vm->gmem_fd);
}

static void create_plain(struct vm *vm)
{
	vm->plain = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (vm->plain == MAP_FAILED)
		cannot_run("mmap: %s", strerror(errno));
	madvise(vm->plain, PLAIN_SIZE, MADV_NOHUGEPAGE);
	vm->control = (struct control *)(vm->plain + CONTROL_GPA);
	set_slot(vm, PLAIN_SLOT, PLAIN_GPA, PLAIN_SIZE, vm->plain, -1);
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
	struct kvm_enable_cap hypercalls = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.args = { 1 << KVM_HC_MAP_GPA_RANGE },
	};

	vm->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (vm->kvm_fd < 0)
		cannot_run("/dev/kvm: %s: load kvm_amd or kvm_intel, and run as root",
			   strerror(errno));
	check_kernel(vm);
	vm->vm_fd = ioctl(vm->kvm_fd, KVM_CREATE_VM, KVM_X86_SW_PROTECTED_VM);
	if (vm->vm_fd < 0)
		cannot_run("KVM_CREATE_VM: %s", strerror(errno));
	check_vm(vm);
	if (ioctl(vm->vm_fd, KVM_ENABLE_CAP, &hypercalls))
		cannot_run("KVM_CAP_EXIT_HYPERCALL: %s", strerror(errno));

	vm->stats_fd = ioctl(vm->vm_fd, KVM_GET_STATS_FD, NULL);
	if (vm->stats_fd < 0)
		cannot_run("KVM_GET_STATS_FD: %s", strerror(errno));
	create_plain(vm);
	create_vcpu(vm);
}

void vm_add_gmem(struct vm *vm, u64 page_size, u64 size)
{
	vm->page_size = page_size;
	vm->size = size;
	create_gmem(vm);
}

/* Map all of memory to itself by 1G pages. */
static void write_page_tables(struct vm *vm)
{
	u64 *pml4 = (u64 *)(vm->plain + PML4_GPA);
	u64 *pdpt = (u64 *)(vm->plain + PDPT_GPA);
	u64 i;

	pml4[0] = PDPT_GPA | PTE_PRESENT | PTE_WRITABLE;
	for (i = 0; i < 512; i++)
		pdpt[i] = i << 30 | PTE_PRESENT | PTE_WRITABLE | PTE_HUGE;
}

/* Enter 64-bit mode at once: KVM needs no descriptor tables for that. */
static void set_registers(struct vm *vm)
{
	struct kvm_segment code = {
		.selector = 8, .limit = ~0u, .type = 11, .present = 1,
		.s = 1, .l = 1, .g = 1,
	};
	struct kvm_segment data = {
		.selector = 16, .limit = ~0u, .type = 3, .present = 1,
		.s = 1, .db = 1, .g = 1,
	};
	/* As if entered by a call: the ABI wants the stack 8 off 16. */
	struct kvm_regs regs = {
		.rip = CODE_GPA, .rsp = STACK_TOP_GPA - 8, .rflags = 2,
	};
	struct kvm_sregs sregs;

	if (ioctl(vm->vcpu_fd, KVM_GET_SREGS, &sregs))
		cannot_run("KVM_GET_SREGS: %s", strerror(errno));
	sregs.cs = code;
	sregs.ds = data;
	sregs.es = data;
	sregs.fs = data;
	sregs.gs = data;
	sregs.ss = data;
	sregs.cr3 = PML4_GPA;
	sregs.cr4 = CR4_PAE;
	sregs.cr0 = CR0_PE | CR0_NE | CR0_WP | CR0_PG;
	sregs.efer = EFER_LME | EFER_LMA;
	if (ioctl(vm->vcpu_fd, KVM_SET_SREGS, &sregs) ||
	    ioctl(vm->vcpu_fd, KVM_SET_REGS, &regs))
		cannot_run("KVM_SET_SREGS: %s", strerror(errno));
}

static int cpu_has_vmmcall(void)
{
	unsigned int eax, ebx, ecx, edx;

	__cpuid(0, eax, ebx, ecx, edx);
	return ebx == VENDOR_EBX_AMD || ebx == VENDOR_EBX_HYGON;
}

/* Map the plain slot up front, so that its leaves are known and constant. */
static void pre_fault_plain(struct vm *vm)
{
	struct kvm_pre_fault_memory range = {
		.gpa = PLAIN_GPA, .size = PLAIN_SIZE,
	};

	while (range.size) {
		if (ioctl(vm->vcpu_fd, KVM_PRE_FAULT_MEMORY, &range) &&
		    errno != EINTR && errno != EAGAIN)
			cannot_run("KVM_PRE_FAULT_MEMORY: %s", strerror(errno));
	}
}

void vm_start_guest(struct vm *vm, u64 seed, u64 shared_page)
{
	size_t len = guest_image_end - guest_image;

	if (len > CODE_MAX)
		cannot_run("guest code of %zu bytes is larger than its place", len);
	memcpy(vm->plain + CODE_GPA, guest_image, len);
	write_page_tables(vm);
	vm->control->nr_pages = vm->size / PAGE_SIZE;
	vm->control->shared_page = shared_page;
	vm->control->seed = seed;
	vm->control->use_vmmcall = cpu_has_vmmcall();
	set_registers(vm);
	pre_fault_plain(vm);
}

void vm_destroy(struct vm *vm)
{
	close(vm->stats_fd);
	close(vm->vcpu_fd);
	munmap(vm->shared, vm->size);
	close(vm->gmem_fd);
	close(vm->vm_fd);
	close(vm->kvm_fd);
}

static void convert(struct vm *vm, u64 gpa, u64 nr_pages,
		    u64 attributes)
{
	int to_private = !!(attributes & KVM_MAP_GPA_RANGE_ENCRYPTED);
	struct kvm_memory_attributes2 args = {
		.offset = gpa - GMEM_GPA,
		.size = nr_pages * PAGE_SIZE,
		.attributes = to_private ? KVM_MEMORY_ATTRIBUTE_PRIVATE : 0,
		.flags = KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE,
		.error_offset = ~0ul,
	};

	if (ioctl(vm->gmem_fd, KVM_SET_MEMORY_ATTRIBUTES2, &args))
		die(EXIT_FAULT, "making %lu pages at offset 0x%lx %s: %s, error_offset 0x%llx",
		    nr_pages, gpa - GMEM_GPA, to_private ? "private" : "shared",
		    strerror(errno), args.error_offset);
}

static void handle_hypercall(struct vm *vm)
{
	struct kvm_run *run = vm->run;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
		die(EXIT_FAULT, "the guest made hypercall %llu, which it never should",
		    run->hypercall.nr);
	convert(vm, run->hypercall.args[0], run->hypercall.args[1],
		run->hypercall.args[2]);
	run->hypercall.ret = 0;
}

static void run_failed(struct vm *vm, int error)
{
	struct kvm_run *run = vm->run;

	if (run->exit_reason == KVM_EXIT_MEMORY_FAULT)
		die(EXIT_FAULT, "KVM_EXIT_MEMORY_FAULT: %s access to gpa 0x%llx size 0x%llx: %s",
		    run->memory_fault.flags & KVM_MEMORY_EXIT_FLAG_PRIVATE ?
		    "private" : "shared", run->memory_fault.gpa,
		    run->memory_fault.size, strerror(error));
	die(EXIT_FAULT, "KVM_RUN: %s", strerror(error));
}

enum report vm_run(struct vm *vm)
{
	struct kvm_run *run = vm->run;

	for (;;) {
		if (ioctl(vm->vcpu_fd, KVM_RUN, NULL)) {
			if (errno == EINTR)
				continue;
			run_failed(vm, errno);
		}

		switch (run->exit_reason) {
		case KVM_EXIT_HYPERCALL:
			handle_hypercall(vm);
			break;
		case KVM_EXIT_IO:
			if (run->io.port == REPORT_PORT)
				return *((u8 *)run + run->io.data_offset);
			break;
		case KVM_EXIT_MEMORY_FAULT:
			run_failed(vm, EFAULT);
			break;
		default:
			die(EXIT_FAULT, "the guest stopped, exit reason %u (8: triple fault)",
			    run->exit_reason);
		}
	}
}

u64 *vm_host_page(struct vm *vm, u64 page)
{
	return (u64 *)(vm->shared + page * PAGE_SIZE);
}

static sigjmp_buf access_jump;

static void access_fault(int signal)
{
	(void)signal;
	siglongjmp(access_jump, 1);
}

static void touch(const u64 *words)
{
	__atomic_load_n(words, __ATOMIC_RELAXED);
}

int vm_host_access_faults(struct vm *vm, u64 page)
{
	struct sigaction old, new = { .sa_handler = access_fault };
	int faulted;

	sigaction(SIGBUS, &new, &old);
	faulted = sigsetjmp(access_jump, 1);
	if (!faulted)
		touch(vm_host_page(vm, page));
	sigaction(SIGBUS, &old, NULL);
	return faulted;
}
