# `cpack -G DEB` in the build directory makes the Debian package `relais`: /usr, /etc/relais, units, and scripts that make the user and
# the spool. Build with the release preset; the preset's prefix is of no matter, the package always installs to /usr.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME relais)
set(CPACK_PACKAGE_CONTACT "Relais developers <relais@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "mail system made of small Unix programs")
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION mail)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_DEPENDS "adduser")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION
    "SMTP server and relay (mta), delivery agent (mda), POP3 and IMAP servers\n(pop3d, imapd) and a command-line mail client (mua, also as sendmail and mail)\nover Maildirs, each of use alone.")
set(control ${PROJECT_BINARY_DIR}/debian)
foreach(script postinst prerm postrm)
  configure_file(${PROJECT_SOURCE_DIR}/etc/debian/${script}.in ${control}/${script} @ONLY FILE_PERMISSIONS OWNER_READ OWNER_WRITE
                 OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()
file(WRITE ${control}/conffiles "/etc/relais/relais.toml\n/etc/relais/users\n/etc/relais/aliases\n")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${control}/postinst ${control}/prerm ${control}/postrm ${control}/conffiles)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
