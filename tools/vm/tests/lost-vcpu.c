// SPDX-License-Identifier: GPL-2.0-only
/*
 * lost-vcpu ADDRESS [shutdown]: for ever run a virtual machine whose vCPU exits at
 * ADDRESS, a hexadecimal linear address, as one does whose state an emulated VMRUN
 * has mixed up with the host's; or one that shuts down there, and fail.  runner-test
 * runs it.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Page tables from 0, and a 2M page of code. */
#define SIZE_2M		0x200000ul
#define PML4		0x0ul
#define PDPT		0x1000ul
#define PD		0x2000ul
#define PRESENT		3
#define LARGE		0x80
#define NR_CPUID	256

/* in al, 0x80 */
static const uint8_t code[] = { 0xe4, 0x80 };
/* ud2, and no way to handle it */
static const uint8_t bad_code[] = { 0x0f, 0x0b };

static int kvm_ioctl(int fd, unsigned long request, void *arg)
{
	int ret = ioctl(fd, request, arg);

	if (ret < 0)
		err(1, "KVM ioctl %#lx", request);
	return ret;
}

static void map_page(uint8_t *mem, uint64_t address)
{
	((uint64_t *)(mem + PML4))[address >> 39 & 511] = PDPT | PRESENT;
	((uint64_t *)(mem + PDPT))[address >> 30 & 511] = PD | PRESENT;
	((uint64_t *)(mem + PD))[address >> 21 & 511] = SIZE_2M | LARGE | PRESENT;
}

/* Of a processor that has 64 bits. */
static void set_cpuid(int kvm, int vcpu)
{
	struct {
		struct kvm_cpuid2 head;
		struct kvm_cpuid_entry2 entries[NR_CPUID];
	} cpuid = { .head.nent = NR_CPUID };

	kvm_ioctl(kvm, KVM_GET_SUPPORTED_CPUID, &cpuid);
	kvm_ioctl(vcpu, KVM_SET_CPUID2, &cpuid);
}

static int create_vcpu(uint64_t address, const uint8_t *instruction)
{
	uint8_t *mem = mmap(NULL, 2 * SIZE_2M, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct kvm_userspace_memory_region slot = {
		.memory_size = 2 * SIZE_2M,
		.userspace_addr = (uintptr_t)mem,
	};
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC), vm, vcpu;

	if (mem == MAP_FAILED || kvm < 0)
		err(1, "/dev/kvm");
	map_page(mem, address);
	memcpy(mem + SIZE_2M + address % SIZE_2M, instruction, sizeof(code));
	vm = kvm_ioctl(kvm, KVM_CREATE_VM, 0);
	kvm_ioctl(vm, KVM_SET_USER_MEMORY_REGION, &slot);
	vcpu = kvm_ioctl(vm, KVM_CREATE_VCPU, 0);
	set_cpuid(kvm, vcpu);
	return vcpu;
}

static void enter_long_mode(int vcpu, uint64_t address)
{
	struct kvm_regs regs = { .rip = address, .rflags = 2 };
	struct kvm_sregs sregs;

	kvm_ioctl(vcpu, KVM_GET_SREGS, &sregs);
	sregs.cr3 = PML4;
	sregs.cr4 = 1 << 5;			/* PAE */
	sregs.cr0 = 1ul << 31 | 1;		/* PG, PE */
	sregs.efer = 1 << 10 | 1 << 8;		/* LMA, LME */
	sregs.idt.limit = 0;
	sregs.cs.base = 0;
	sregs.cs.l = 1;
	sregs.cs.db = 0;
	kvm_ioctl(vcpu, KVM_SET_SREGS, &sregs);
	kvm_ioctl(vcpu, KVM_SET_REGS, &regs);
}

int main(int argc, char **argv)
{
	uint64_t address = argc >= 2 ? strtoull(argv[1], NULL, 16) : 0;
	bool shutdown = argc == 3;
	int vcpu;

	if (!address)
		errx(2, "usage: lost-vcpu ADDRESS [shutdown]");
	vcpu = create_vcpu(address, shutdown ? bad_code : code);
	/* Anew every time, and not too often: QEMU may lose this one's state, too. */
	do {
		enter_long_mode(vcpu, address);
		kvm_ioctl(vcpu, KVM_RUN, 0);
		usleep(1000);
	} while (!shutdown);
	return 1;
}
