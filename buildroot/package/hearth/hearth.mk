################################################################################
#
# hearth
#
################################################################################

# The tree that this external tree is a part of. No cargo-package: Buildroot
# 2026.02 has Rust 1.88, and rust-toolchain.toml asks for a newer one. rustup's
# cargo builds the same static programs here as for the quick image, and fetches
# crates by Cargo.lock's checksums. None of them links the C library of the target.
HEARTH_VERSION = local
HEARTH_SITE = $(BR2_EXTERNAL_HEARTH_PATH)/..
HEARTH_SITE_METHOD = local
HEARTH_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = --exclude=/target
HEARTH_LICENSE = MIT
HEARTH_LICENSE_FILES = LICENSE
HEARTH_TRIPLE = i686-unknown-linux-musl
HEARTH_SYSTEM = hearth-init hearth-netpath hearth-manager hearth-sandbox

# hearth-stage1 and hearth-web go where post-image and post-build look for them:
# the initramfs, and the service's own image.
HEARTH_PROGRAMS = $(HEARTH_SYSTEM) hearth hearth-stage1 hearth-web

define HEARTH_BUILD_CMDS
	cd $(@D) && env -u MAKEFLAGS -u MAKELEVEL cargo build --release --locked \
		--target $(HEARTH_TRIPLE) --target-dir $(@D)/target \
		$(foreach program,$(HEARTH_PROGRAMS),-p $(program))
endef

define HEARTH_INSTALL_TARGET_CMDS
	$(foreach program,$(HEARTH_SYSTEM),\
		$(INSTALL) -D -m 0755 $(@D)/target/$(HEARTH_TRIPLE)/release/$(program) \
			$(TARGET_DIR)/sbin/$(program)$(sep))
	$(INSTALL) -D -m 0755 $(@D)/target/$(HEARTH_TRIPLE)/release/hearth $(TARGET_DIR)/bin/hearth
endef

$(eval $(generic-package))
