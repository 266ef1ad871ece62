# relais_layer(NAME SOURCES... USES layers or libraries...): one layer of libmailcore as a static library, so that
# the linker too refuses what DESIGN's layers forbid.
function(relais_layer name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_library(mailcore_${name} STATIC ${ARG_SOURCES})
  target_link_libraries(mailcore_${name} PUBLIC relais_options ${ARG_USES})
endfunction()

# relais_test(NAME SOURCES... USES...): one Catch2 program, one ctest entry.
function(relais_test name)
  cmake_parse_arguments(ARG "" "" "SOURCES;USES" ${ARGN})
  add_executable(test_${name} ${ARG_SOURCES})
  target_link_libraries(test_${name} PRIVATE relais_test_main ${ARG_USES})
  target_compile_options(test_${name} PRIVATE ${RELAIS_TEST_FLAGS})
  add_test(NAME ${name} COMMAND test_${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR}/tests)
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()

# relais_fuzz(NAME SOURCE USES...): a fuzz target `fuzz_NAME`; seeds in tests/fuzz/corpus/NAME, run once as the ctest entry `fuzz_NAME`.
# With RELAIS_FUZZ (preset asan) libFuzzer is linked in, and ./check also runs it for a few seconds; else a small driver that runs the seeds.
function(relais_fuzz name source)
  cmake_parse_arguments(ARG "" "" "USES" ${ARGN})
  add_executable(fuzz_${name} ${source})
  target_link_libraries(fuzz_${name} PRIVATE ${ARG_USES})
  set(corpus ${PROJECT_SOURCE_DIR}/tests/fuzz/corpus/${name})
  if(RELAIS_FUZZ)
    target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} -runs=0 ${corpus})
  else()
    target_sources(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR}/tests/support/fuzz_driver.cpp)
    add_test(NAME fuzz_${name} COMMAND fuzz_${name} ${corpus})
  endif()
  set_tests_properties(fuzz_${name} PROPERTIES LABELS fuzz)
endfunction()
