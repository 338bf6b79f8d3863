# The OpenWrt package: `make package/mwan3/compile` in a build tree or SDK. docs/guide/openwrt.md tells how to
# make a feed of this folder. Developers use `cargo` and `cargo xtask` instead.

include $(TOPDIR)/rules.mk

PKG_NAME:=mwan3
PKG_VERSION:=3.0.0
PKG_RELEASE:=1
PKG_LICENSE:=GPL-2.0-or-later
PKG_LICENSE_FILES:=LICENSE

PKG_BUILD_DEPENDS:=rust/host
PKG_BUILD_PARALLEL:=1

include $(INCLUDE_DIR)/package.mk
include $(TOPDIR)/feeds/packages/lang/rust/rust-package.mk

# The name is that of the shell package: a higher version of the same package takes its place, keeps its
# conffiles, and satisfies what depends on it (luci-app-mwan3).
define Package/mwan3
  SECTION:=net
  CATEGORY:=Network
  SUBMENU:=Routing and Redirection
  TITLE:=Multi-WAN manager on nftables: balance, fail over, pin
  DEPENDS:=$(RUST_ARCH_DEPENDS) +kmod-nft-core +kmod-nf-conntrack-netlink
endef

define Package/mwan3/description
  Runs several Internet uplinks side by side: shares new connections among them, pins traffic to one of them
  by rule, and moves traffic off an uplink that stops working. One static program that speaks netlink; takes
  the configuration, commands, marks and tables of the shell package of the same name.
endef

define Package/mwan3/conffiles
/etc/config/mwan3
/etc/mwan3.user
endef

# rpcd learns of new or gone plugins when it is told to look again.
define Package/mwan3/postinst
#!/bin/sh
[ -n "$${IPKG_INSTROOT}" ] || [ ! -x /etc/init.d/rpcd ] || /etc/init.d/rpcd reload
exit 0
endef

# The service is stopped and disabled by OpenWrt's default_prerm before this.
define Package/mwan3/postrm
#!/bin/sh
[ -z "$${IPKG_INSTROOT}" ] || exit 0
rm -f /var/run/mwan3.lock /var/run/mwan3track.lock
[ ! -x /etc/init.d/rpcd ] || /etc/init.d/rpcd reload
exit 0
endef

# The sources are this folder. The other members of the workspace are not built, but cargo wants to see them.
define Build/Prepare
	$(INSTALL_DIR) $(PKG_BUILD_DIR)
	$(CP) ./Cargo.toml ./Cargo.lock ./LICENSE ./src ./lab ./xtask $(PKG_BUILD_DIR)/
endef

define Package/mwan3/install
	$(INSTALL_DIR) $(1)/usr/sbin
	$(INSTALL_BIN) $(PKG_INSTALL_DIR)/bin/mwan3 $(1)/usr/sbin/mwan3
	$(INSTALL_DIR) $(1)/etc/config
	$(INSTALL_DATA) ./files/etc/config/mwan3 $(1)/etc/config/mwan3
	$(INSTALL_BIN) ./files/etc/mwan3.user $(1)/etc/mwan3.user
	$(INSTALL_DIR) $(1)/etc/init.d
	$(INSTALL_BIN) ./files/etc/init.d/mwan3 $(1)/etc/init.d/mwan3
	$(INSTALL_DIR) $(1)/etc/hotplug.d/iface
	$(INSTALL_DATA) ./files/etc/hotplug.d/iface/* $(1)/etc/hotplug.d/iface/
	$(INSTALL_DIR) $(1)/etc/uci-defaults
	$(INSTALL_DATA) ./files/etc/uci-defaults/* $(1)/etc/uci-defaults/
	$(INSTALL_DIR) $(1)/lib/mwan3
	$(INSTALL_DATA) ./files/lib/mwan3/* $(1)/lib/mwan3/
	$(INSTALL_DIR) $(1)/lib/upgrade/keep.d
	$(INSTALL_DATA) ./files/lib/upgrade/keep.d/mwan3 $(1)/lib/upgrade/keep.d/mwan3
	$(INSTALL_DIR) $(1)/usr/libexec/rpcd
	$(INSTALL_BIN) ./files/usr/libexec/rpcd/mwan3 $(1)/usr/libexec/rpcd/mwan3
endef

$(eval $(call RustBinPackage,mwan3))
$(eval $(call BuildPackage,mwan3))
