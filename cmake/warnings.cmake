# Every target of the project is built with these; a warning is an error.
add_library(relais_options INTERFACE)
target_compile_options(relais_options INTERFACE -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Werror)
target_compile_definitions(relais_options INTERFACE _GNU_SOURCE RELAIS_VERSION="${PROJECT_VERSION}")
# libmailcore is included as "base/result.h", a program's own headers as "mta/serve/client.h".
target_include_directories(relais_options INTERFACE ${PROJECT_SOURCE_DIR}/libmailcore ${PROJECT_SOURCE_DIR})
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 reports false positives from the inlined standard library at -O2.
  target_compile_options(relais_options INTERFACE -Wno-restrict -Wno-dangling-pointer -Wno-maybe-uninitialized
                         $<$<COMPILE_LANGUAGE:CXX>:-Wno-missing-field-initializers>)
else()
  target_compile_options(relais_options INTERFACE -Wno-missing-field-initializers)
endif()
