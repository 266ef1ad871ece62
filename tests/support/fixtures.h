// What the tests share: fixture files, the public test vectors, temporary directories.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

namespace mail::test {

/// The content of tests/NAME; the test fails where there is none.
std::string read_fixture(const std::string& name);
/// A folder of the public test vectors (../shared/vectors/KIND), or an empty path after one clear line on standard
/// error that the test is skipped.
std::filesystem::path vectors(const std::string& kind);
std::string read_path(const std::filesystem::path& path);
/// True where UPDATE_GOLDEN is set: golden files are rewritten, and the diff is what gets reviewed.
bool update_golden();

/// A directory that is removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  const std::filesystem::path& path() const { return path_; }
  std::string operator/(std::string_view name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

}  // namespace mail::test
