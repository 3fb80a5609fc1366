// SPDX-License-Identifier: GPL-2.0-only
/*
 * Run the guest of gmemdemo: a vCPU that starts in 64-bit mode, and conversions
 * between private and shared on the guest's request (KVM_HC_MAP_GPA_RANGE).
 *
 * The guest's code, stack and page tables are in a plain slot, as KVM may have
 * to decode instructions and reads them through the slot's userspace address.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <cpuid.h>
#include <setjmp.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <linux/bits.h>
#include <linux/kvm_para.h>

#include "error.h"
#include "guest_run.h"

#define PLAIN_SLOT	0

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

#define VENDOR_EBX_AMD		0x68747541	/* "Auth" */
#define VENDOR_EBX_HYGON	0x6f677948	/* "Hygo" */

static void create_plain(struct guest *guest)
{
	guest->plain = mmap(NULL, PLAIN_SIZE, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (guest->plain == MAP_FAILED)
		cannot_run("mmap: %s", strerror(errno));
	madvise(guest->plain, PLAIN_SIZE, MADV_NOHUGEPAGE);
	guest->control = (struct control *)(guest->plain + CONTROL_GPA);
	vm_set_slot(&guest->vm, PLAIN_SLOT, PLAIN_GPA, PLAIN_SIZE,
		    guest->plain, -1);
}

void guest_create(struct guest *guest)
{
	struct kvm_enable_cap hypercalls = {
		.cap = KVM_CAP_EXIT_HYPERCALL,
		.args = { 1 << KVM_HC_MAP_GPA_RANGE },
	};

	vm_create(&guest->vm);
	if (ioctl(guest->vm.vm_fd, KVM_ENABLE_CAP, &hypercalls))
		cannot_run("the kernel keeps KVM_HC_MAP_GPA_RANGE to itself (capability 201): %s",
			   strerror(errno));
	create_plain(guest);
}

/* Map all of memory to itself by 1G pages. */
static void write_page_tables(struct guest *guest)
{
	u64 *pml4 = (u64 *)(guest->plain + PML4_GPA);
	u64 *pdpt = (u64 *)(guest->plain + PDPT_GPA);
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

void guest_start(struct guest *guest, u64 seed, u64 shared_page)
{
	size_t len = guest_image_end - guest_image;

	if (len > CODE_MAX)
		cannot_run("guest code of %zu bytes is larger than its place", len);
	memcpy(guest->plain + CODE_GPA, guest_image, len);
	write_page_tables(guest);
	guest->control->nr_pages = guest->vm.size / PAGE_SIZE;
	guest->control->shared_page = shared_page;
	guest->control->seed = seed;
	guest->control->use_vmmcall = cpu_has_vmmcall();
	set_registers(&guest->vm);
	/* Map the plain slot up front, so that its leaves are known and constant. */
	vm_pre_fault(&guest->vm, PLAIN_GPA, PLAIN_SIZE);
}

static void handle_hypercall(struct vm *vm)
{
	struct kvm_run *run = vm->run;
	u64 *args = (u64 *)run->hypercall.args;

	if (run->hypercall.nr != KVM_HC_MAP_GPA_RANGE)
		die(EXIT_FAULT, "the guest made hypercall %llu, which it never should",
		    run->hypercall.nr);
	vm_convert(vm, args[0] - GMEM_GPA, args[1] * PAGE_SIZE,
		   !!(args[2] & KVM_MAP_GPA_RANGE_ENCRYPTED),
		   KVM_SET_MEMORY_ATTRIBUTES2_PRESERVE);
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

enum report guest_run(struct guest *guest)
{
	struct vm *vm = &guest->vm;
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

u64 *guest_host_page(struct guest *guest, u64 page)
{
	return (u64 *)(guest->vm.shared + page * PAGE_SIZE);
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

int guest_host_access_faults(struct guest *guest, u64 page)
{
	struct sigaction old, new = { .sa_handler = access_fault };
	int faulted;

	sigaction(SIGBUS, &new, &old);
	faulted = sigsetjmp(access_jump, 1);
	if (!faulted)
		touch(guest_host_page(guest, page));
	sigaction(SIGBUS, &old, NULL);
	return faulted;
}
