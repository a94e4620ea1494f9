# SPDX-License-Identifier: GPL-2.0
#
# Builds, installs, runs and tests bsa. What is built into the module is in
# Kbuild. "make help" names the targets.

KDIR ?= /lib/modules/$(shell uname -r)/build

version := $(shell sed -n 's/^MODULE_VERSION("\(.*\)");/\1/p' bsa_main.c)
# Not kernel.release, which lacks what Debian adds.
release = $(shell sed -n 's/.*"\(.*\)".*/\1/p' $(KDIR)/include/generated/utsrelease.h)
kbuild = $(MAKE) -C $(KDIR) M=$(CURDIR)

# Where modules that use bsa find its header and, for each kernel, its symbols.
prefix := $(DESTDIR)/usr/src/bsa-$(version)

# Modules are signed at installation where the kernel's key is at hand.
unsigned = $(if $(wildcard $(KDIR)/certs/signing_key.pem),,CONFIG_MODULE_SIG_ALL=)

.PHONY: modules install clean clean-cache help run shell check check-debug check-all \
	check-tree configs bench model lint

modules: $(KDIR)/Makefile
	+$(kbuild) modules

$(KDIR)/Makefile:
	@echo "bsa: no kernel to build for in $(KDIR): install its headers, or give KDIR=" >&2
	@false

install: modules
	+$(kbuild) INSTALL_MOD_PATH=$(DESTDIR) INSTALL_MOD_DIR=updates \
		DEPMOD=true $(unsigned) modules_install
	install -p -m 644 -D include/linux/bsa.h $(prefix)/include/linux/bsa.h
	install -p -m 644 -D Module.symvers $(prefix)/$(release)/Module.symvers
	ln -sfn bsa-$(version) $(DESTDIR)/usr/src/bsa
	$(if $(DESTDIR),,depmod $(release))

clean: $(KDIR)/Makefile
	+$(kbuild) clean

clean-cache:
	rm -rf "$${XDG_CACHE_HOME:-$$HOME/.cache}/bsa"

run shell:
	@scripts/run.sh '$(KERNEL)' $@

check:
	@scripts/check.sh '$(KERNEL)'

check-debug:
	@scripts/check-debug.sh $(CONFIG)

check-all:
	@scripts/check-all.sh $(ONLY)

configs:
	@scripts/configs.sh $(CONFIG)

check-tree:
	@env -u ARCH scripts/into-tree-test.sh $(or $(KERNEL),7.3) $(ARCH)

bench:
	@scripts/bench.sh '$(KERNEL)' $(MODE)

model:
	@scripts/model.sh

lint:
	@scripts/lint.sh '$(KERNEL)'

help:
	@echo 'make              bsa.ko for the running kernel, or for the one in KDIR='
	@echo 'make install      bsa.ko, its header and its symbols (DESTDIR= is honoured)'
	@echo 'make clean        removes what make has built'
	@echo ''
	@echo 'make run          loads bsa and a client into a Debian kernel under QEMU'
	@echo 'make shell        the same, and leaves you at a prompt in there'
	@echo 'make check        every test, in a kernel that watches'
	@echo 'make check-debug  the same, in kernels that watch more closely'
	@echo 'make configs      builds it for kernels configured in other ways, without a warning'
	@echo 'make check-all    all of these on each kernel and machine: hours'
	@echo 'make check-tree   the same, built into a kernel, with its kunit.py'
	@echo 'make bench        what the calls cost, beside those of the kernel'
	@echo 'make model        a model of what needs no lock, checked exhaustively by spin'
	@echo 'make lint         checkpatch, sparse, kernel-doc, shellcheck'
	@echo 'make clean-cache  removes the kernels that run and check keep'
	@echo ''
	@echo 'KERNEL=6.1|6.12|7.3  the kernel of run, shell, check and bench (6.1 on Debian 12,'
	@echo '                  6.12 on 13); run and shell take 6.1-rt, 6.12-rt, 7.3-rt, too'
	@echo 'ARCH=arm64|...    the machine of run, shell and check (that of the host): x86_64,'
	@echo '                  arm64, arm64-16k, arm64-64k, s390x, riscv64, um; check-tree'
	@echo '                  takes um, x86_64 and arm64 (all that it can)'
	@echo 'CONFIG=kasan|kcsan|rt|zero|fresh|watch|up|lazy|nodebugfs|clang|swtags  that of'
	@echo '                  check-debug (all); and that of configs'
	@echo 'ONLY="check um"   the rows of check-all with that name, machine or kernel, or all of it'
	@echo 'FILTER=glob       only the tests, or suites, of such a name, for check; none of'
	@echo '                  those that load and unload: FILTER="heap_no_false_oom_*"'
	@echo 'CPUS=1            for check: what needs more CPUs says so, and is skipped'
	@echo 'MODE=native|parallel|counted  how bench measures (all; counted alone but on 7.3)'
	@echo 'ACCEL=tcg|kvm     how QEMU runs it (kvm where the processor offers it)'
	@echo 'STALL=seconds     how long a guest may say nothing (180; 720 where it is slow)'
	@echo 'TIMEOUT=seconds   when to give up, whatever it says'
