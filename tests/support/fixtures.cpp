#include "tests/support/fixtures.h"

#include <stdlib.h>

#include <fstream>
#include <iostream>
#include <sstream>
#include <stdexcept>

namespace mail::test {

std::string read_path(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) throw std::runtime_error("cannot read " + path.string());
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

std::string read_fixture(const std::string& name) {
  return read_path(std::filesystem::path(RELAIS_SOURCE_DIR) / "tests" / name);
}

std::filesystem::path vectors(const std::string& kind) {
  const auto path = std::filesystem::path(RELAIS_VECTORS) / kind;
  if (std::filesystem::is_directory(path)) return path;
  std::cerr << "SKIPPED: public test vectors are missing: " << path.string() << "\n";
  return {};
}

bool update_golden() { return ::getenv("UPDATE_GOLDEN") != nullptr; }

TemporaryDirectory::TemporaryDirectory() {
  auto pattern = (std::filesystem::temp_directory_path() / "relais-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
  path_ = pattern;
}

TemporaryDirectory::~TemporaryDirectory() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace mail::test
