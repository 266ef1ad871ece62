// A host with maps of its own, for what reads them.
#pragma once
#include <fstream>
#include <string>

#include "config/settings.h"
#include "tests/support/fixtures.h"

namespace mail::test {

struct MapsFixture {
  TemporaryDirectory directory;
  config::Settings settings;

  MapsFixture() {
    settings.host.name = "mx.home.test";
    settings.host.domains = {"home.test"};
  }
  /// Writes a text map; its name for the configuration.
  std::string map(const std::string& name, std::string_view text) const {
    std::ofstream(directory / name) << text;
    return directory / name;
  }
};

}  // namespace mail::test
