// The spool directory: opened once, each of its boxes held by a descriptor.
#pragma once
#include <array>
#include <string>
#include <vector>

#include "base/disk.h"
#include "base/id.h"
#include "spool/format.h"

namespace mail::spool {

struct OpenOptions {
  bool create = true;      ///< Makes what is missing (mta and mda); false for mua and queue commands.
  bool drop_only = false;  ///< Only box drop is opened: for whoever may do no more than drop.
};

class Spool {
 public:
  /// Opens SPOOL and its boxes, checking owner and modes: the boxes belong to the process's user and none but drop is
  /// open to others.
  /// @return refused or not_found with one line that names the cause and the remedy.
  static Result<Spool> open(const std::string& path, OpenOptions options = {}, Disk& disk = Disk::system());

  const std::string& path() const { return root_.path(); }
  Disk& disk() const { return *disk_; }
  const Directory& root() const { return root_; }
  const Directory& directory(Box box) const { return boxes_[static_cast<std::size_t>(box)]; }

  /// Calls `look` with the id of each message in a box, unsorted, one at a time: a box may hold a million. Names that
  /// are none are counted in `unknown` (with the first few logged once each).
  Status each(Box box, const std::function<void(const MessageId&)>& look) const;
  Result<std::vector<MessageId>> list(Box box) const;
  bool exists(Box box, const MessageId& id) const;

 private:
  explicit Spool(Disk& disk) : disk_(&disk) {}
  Disk* disk_;
  Directory root_;
  std::array<Directory, kBoxNames.size()> boxes_;
};

}  // namespace mail::spool
