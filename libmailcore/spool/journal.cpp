#include "spool/journal.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <xxhash.h>

#include <algorithm>
#include <set>

#include "base/log.h"
#include "base/strings.h"
#include "spool/reader.h"
#include "spool/recovery.h"
#include "spool/writer_core.h"

namespace mail::spool {

namespace {

/// A segment's octets, mapped.
class Mapped {
 public:
  static Result<Mapped> open(Disk& disk, const Directory& directory, const std::string& name) {
    MAIL_TRY(file, disk.open(directory, name, O_RDONLY));
    struct stat found {};
    if (::fstat(file.get(), &found) != 0) return fail_errno("looking at", name);
    Mapped mapped;
    if (found.st_size == 0) return mapped;
    mapped.octets_ = static_cast<std::size_t>(found.st_size);
    mapped.start_ = ::mmap(nullptr, mapped.octets_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (mapped.start_ == MAP_FAILED) {
      mapped.start_ = nullptr;
      return fail_errno("mapping", name);
    }
    return mapped;
  }
  Mapped(Mapped&& other) noexcept
      : start_(std::exchange(other.start_, nullptr)), octets_(std::exchange(other.octets_, 0)) {}
  Mapped& operator=(Mapped&&) = delete;
  ~Mapped() {
    if (start_ != nullptr) ::munmap(start_, octets_);
  }
  std::string_view octets() const { return {static_cast<const char*>(start_), start_ == nullptr ? 0 : octets_}; }

 private:
  Mapped() = default;
  void* start_ = nullptr;
  std::size_t octets_ = 0;
};

class Recovery {
 public:
  Recovery(const Spool& spool, std::string_view program, const Directory& journal)
      : spool_(spool), program_(program), journal_(journal) {}

  Result<Recovered> run() {
    MAIL_TRY(names, spool_.disk().list(journal_));
    std::ranges::sort(names);
    for (const auto& name : names) {
      if (name == "new") (void)spool_.disk().unlink(journal_, name);
      const auto generation = number_of(kSegmentPrefix, name);
      if (!generation) continue;
      MAIL_TRY(mapped, Mapped::open(spool_.disk(), journal_, name));
      segments_.emplace_back(*generation, std::move(mapped));
    }
    MAIL_CHECK(look());
    MAIL_CHECK(put_back());
    // What is there may be in the page cache only.
    if (recovered_.records > 0) MAIL_CHECK(spool_.disk().sync_filesystem(spool_.root()));
    MAIL_CHECK(sweep());
    for (const auto& [generation, mapped] : segments_)
      MAIL_CHECK(spool_.disk().rename(journal_, numbered(kSegmentPrefix, generation), journal_,
                                      numbered(kFreePrefix, generation)));
    if (!segments_.empty()) MAIL_CHECK(spool_.disk().sync_directory(journal_));
    return recovered_;
  }

 private:
  struct Missing {
    RecordEntry entry;
    std::string_view content;
    bool promoted;
  };

  /// Finds the messages that are in a segment and not whole in their box.
  Status look() {
    std::set<std::string> aborted;
    for (const bool first_pass : {true, false}) {
      for (const auto& [generation, mapped] : segments_) {
        auto scan = scan_segment(mapped.octets(), generation, [&](const Record& record) -> Status {
          if (record.entries.empty()) return {};
          const auto& id = record.entries[0].id.text();
          if (first_pass && record.aborted) aborted.insert(id);
          if (first_pass || record.aborted || aborted.contains(id)) return {};
          return look_at(record);
        });
        if (!scan) return tl::unexpected(scan.error());
        if (first_pass) recovered_.records += scan->records, recovered_.torn += scan->torn ? 1 : 0;
      }
    }
    return {};
  }

  Status look_at(const Record& record) {
    for (const auto& entry : record.entries) {
      const auto present = StoredMessage::open(spool_, entry.box, entry.id);
      if (present || spool_.exists(Box::hold, entry.id)) continue;
      const auto kind = present.error().kind;
      if (kind != Error::Kind::not_found && kind != Error::Kind::syntax) return tl::unexpected(present.error());
      missing_.push_back({entry, record.content, record.promoted});
    }
    return {};
  }

  Status put_back() {
    if (missing_.empty()) return {};
    // Read after the look at the boxes: a delivery that goes on meanwhile notes first and removes then.
    MAIL_TRY(done, DoneSet::load(spool_));
    std::set<Box> changed;
    for (const auto& missing : missing_) {
      const auto* notes = done.find(missing.entry.box, missing.entry.id);
      MAIL_TRY(written, missing.promoted ? promote(missing, notes) : write_anew(missing, notes));
      if (!written) continue;
      ++recovered_.put_back;
      changed.insert(missing.entry.box);
    }
    for (const Box box : changed) MAIL_CHECK(spool_.disk().sync_directory(spool_.directory(box)));
    return {};
  }

  static bool wholly_done(const std::vector<DoneNote>* notes) {
    return notes != nullptr &&
           std::ranges::any_of(*notes, [](const DoneNote& n) { return n.recipient == kWholeMessage; });
  }

  Result<bool> promote(const Missing& missing, const std::vector<DoneNote>* notes) {
    const auto name = temporary_name(program_, missing.entry.id, missing.entry.box);
    const auto& tmp = spool_.directory(Box::tmp);
    if (wholly_done(notes) || !spool_.disk().stat(tmp, name)) return false;
    MAIL_CHECK(spool_.disk().rename(tmp, name, spool_.directory(missing.entry.box), missing.entry.id.text()));
    return true;
  }

  Result<bool> write_anew(const Missing& missing, const std::vector<DoneNote>* notes) {
    if (wholly_done(notes) || missing.entry.header.size() < kFirstLineOctets) return false;
    MAIL_TRY(envelope, parse_envelope(missing.entry.header.substr(kFirstLineOctets)));
    if (notes != nullptr) {
      for (const auto& note : *notes)
        if (note.recipient < envelope.recipients.size()) envelope.recipients[note.recipient].state = note.state;
      if (std::ranges::all_of(envelope.recipients, [](const Recipient& r) { return is_finished(r.state); }))
        return false;
    }
    const auto text = print(envelope);
    auto octets = first_line(text, missing.content.size(), XXH3_64bits(missing.content.data(), missing.content.size()));
    octets.append(text).append(missing.content);
    auto& disk = spool_.disk();
    const auto& tmp = spool_.directory(Box::tmp);
    const auto name = temporary_name(program_, missing.entry.id, missing.entry.box) + ".back";
    (void)disk.unlink(tmp, name);
    MAIL_TRY(file, disk.open(tmp, name, O_WRONLY | O_CREAT | O_EXCL));
    MAIL_CHECK(disk.write(file.get(), octets));
    MAIL_CHECK(disk.sync(file.get()));
    MAIL_CHECK(disk.close(std::move(file)));
    MAIL_CHECK(disk.rename(tmp, name, spool_.directory(missing.entry.box), missing.entry.id.text()));
    return true;
  }

  /// Removes what this program left in tmp: nobody was told that it is safe.
  Status sweep() {
    MAIL_TRY(names, spool_.disk().list(spool_.directory(Box::tmp)));
    for (const auto& name : names) {
      if (!name.starts_with(program_ + ".")) continue;
      MAIL_CHECK(spool_.disk().unlink(spool_.directory(Box::tmp), name));
      ++recovered_.swept;
    }
    return {};
  }

  const Spool& spool_;
  std::string program_;
  const Directory& journal_;
  std::vector<std::pair<std::uint32_t, Mapped>> segments_;
  std::vector<Missing> missing_;
  Recovered recovered_;
};

}  // namespace

Result<Recovered> recover_journal(const Spool& spool, std::string_view program, const Directory& journal) {
  return Recovery(spool, program, journal).run();
}

void log_recovered(std::string_view program, const Recovered& recovered) {
  if (recovered.records == 0 && recovered.swept == 0) return;
  log_event(LogLevel::info, "recovered",
            {{"journal", program},
             {"records", recovered.records},
             {"put_back", recovered.put_back},
             {"torn", recovered.torn},
             {"swept", recovered.swept}});
}

Result<Recovered> recover(const Spool& spool) {
  Recovered all;
  MAIL_TRY(programs, spool.disk().list(spool.directory(Box::journal)));
  for (const auto& program : programs) {
    auto lock = lock_journal(spool, program, kWriterLock);
    if (!lock && lock.error().kind == Error::Kind::refused) continue;  // its process is running and has recovered
    if (!lock) return tl::unexpected(lock.error());
    MAIL_TRY(recovered, recover_journal(spool, program, lock->directory));
    log_recovered(program, recovered);
    all.records += recovered.records;
    all.put_back += recovered.put_back;
    all.torn += recovered.torn;
    all.swept += recovered.swept;
  }
  return all;
}

Result<std::vector<std::string>> live_segments(const Spool& spool) {
  std::vector<std::string> live;
  MAIL_TRY(programs, spool.disk().list(spool.directory(Box::journal)));
  for (const auto& program : programs) {
    auto directory = spool.disk().open_directory_at(spool.directory(Box::journal), program);
    if (!directory) continue;
    MAIL_TRY(names, spool.disk().list(*directory));
    for (const auto& name : names)
      if (number_of(kSegmentPrefix, name)) live.push_back(concat({program, "/", name}));
  }
  return live;
}

}  // namespace mail::spool
