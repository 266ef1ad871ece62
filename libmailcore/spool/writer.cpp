#include "spool/writer.h"

#include <algorithm>
#include <future>

#include "spool/journal.h"
#include "spool/recovery.h"
#include "spool/writer_core.h"

namespace mail::spool {

Writer::Writer(std::unique_ptr<WriterCore> core) : core_(std::move(core)) {}
Writer::~Writer() = default;

Result<std::unique_ptr<Writer>> Writer::open(const Spool& spool, std::string_view program, WriterOptions options) {
  MAIL_TRY(lock, lock_journal(spool, program, kWriterLock));
  MAIL_TRY(recovered, recover_journal(spool, program, lock.directory));
  log_recovered(program, recovered);
  MAIL_TRY(names, spool.disk().list(lock.directory));
  std::uint32_t last = 0;
  std::vector<std::string> free;
  for (auto& name : names) {
    const auto number = number_of(kFreePrefix, name);
    last = std::max({last, number.value_or(0), number_of(kSegmentPrefix, name).value_or(0)});
    if (number) free.push_back(std::move(name));
  }
  auto core =
      std::make_unique<WriterCore>(spool, std::string(program), options, std::move(lock), last + 1, std::move(free));
  return std::unique_ptr<Writer>(new Writer(std::move(core)));
}

std::unique_ptr<Incoming> Writer::begin(std::vector<Entry> entries) {
  return std::unique_ptr<Incoming>(new Incoming(*core_, std::move(entries)));
}

Status Writer::put(std::vector<Entry> entries, std::string_view content) {
  auto message = begin(std::move(entries));
  message->append(content);
  std::promise<Status> promise;
  Incoming::commit(std::move(message), [&promise](Status status) { promise.set_value(std::move(status)); });
  return promise.get_future().get();
}

}  // namespace mail::spool
