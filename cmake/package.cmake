# `cpack -G DEB` makes the Debian package.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "Relais developers <relais@localhost>")
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
include(CPack)
