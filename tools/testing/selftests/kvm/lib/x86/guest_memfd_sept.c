// SPDX-License-Identifier: GPL-2.0-only
/*
 * CONFIG_KVM_SEPT_EMUL for the selftests: VMs whose private memory is mapped by
 * the rules that S-EPT has on TDX, and what the checker of those rules counts.
 *
 * See Documentation/virt/kvm/guest_memfd_hugetlb.rst.
 */
#include <stdio.h>
#include <unistd.h>

#include "guest_memfd_sept.h"

static bool set_parameter(const char *name, bool on)
{
	char path[128];
	bool was;

	snprintf(path, sizeof(path), "/sys/module/kvm/parameters/%s", name);
	TEST_ASSERT(!access(path, W_OK), "No %s: set CONFIG_KVM_SEPT_EMUL, be root", path);
	was = get_kvm_param_bool(name);
	gmem_write_file(path, on ? "Y" : "N");
	return was;
}

bool gmem_sept_set(bool on)
{
	return set_parameter("sept_emul", on);
}

bool gmem_sept_promote(bool on)
{
	return set_parameter("sept_emul_promote", on);
}

/* The folder is called after who created the VM, i.e. this process. */
FILE *gmem_debugfs_open(struct gmem_vm *g, const char *name)
{
	char path[128];
	FILE *file;

	snprintf(path, sizeof(path), "/sys/kernel/debug/kvm/%d-%d/%s", getpid(),
		 g->vm->fd, name);
	file = fopen(path, "r");
	TEST_ASSERT(file,
		    "No %s: set CONFIG_HUGETLB_GMEM_DEBUG, or has the VM no S-EPT?", path);
	return file;
}

u64 gmem_sept_stat(struct gmem_vm *g, const char *name)
{
	FILE *file = gmem_debugfs_open(g, name);
	u64 value = 0;

	TEST_ASSERT(fscanf(file, "%lu", &value) == 1, "No number in %s", name);
	fclose(file);
	return value;
}

void gmem_sept_read(struct gmem_vm *g, struct gmem_sept *sept)
{
	sept->demotes = gmem_sept_stat(g, "sept_demotes");
	sept->removes = gmem_sept_stat(g, "sept_removes");
	sept->augs = gmem_sept_stat(g, "sept_augs");
	sept->promotes = gmem_sept_stat(g, "sept_promotes");
	sept->violations = gmem_sept_stat(g, "sept_violations");
}
