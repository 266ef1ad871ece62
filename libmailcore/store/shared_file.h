// A small text file of the whole server, which several daemons read and change: read where it has changed, and changed
// under its dotlock.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/disk.h"
#include "base/result.h"

namespace mail::store {

/// One thread at a time: its owner's mutex covers what he makes of the text, too.
class SharedFile {
 public:
  /// @param path  absolute; empty: nothing is kept
  SharedFile(std::string path, Disk& disk) : path_(std::move(path)), disk_(disk) {}
  bool kept() const { return !path_.empty(); }
  /// [one stat; disk where the file changed] The text, or nothing where it is the one that was given last. Empty where
  /// there is no file.
  Result<std::optional<std::string>> changed_text();
  /// [disk] `change` makes a new text of the present one, or nothing: then the file stays.
  Status change(const std::function<std::optional<std::string>(std::string_view text)>& change);

 private:
  std::string path_;
  Disk& disk_;
  std::int64_t time_ = -1;
  std::uint64_t inode_ = 0;
};

}  // namespace mail::store
