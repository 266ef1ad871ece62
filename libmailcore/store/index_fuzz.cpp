#include <xxhash.h>

#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

#include "store/change_log.h"
#include "store/image.h"
#include "store/summary.h"

// The first octet chooses the reader. Lengths and checksums are made right, so that the fuzzer gets behind them.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace mail::store;
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0: {
      std::string file = "RELAISX2";
      file.resize(24);
      file += text;
      const std::uint64_t length = file.size(), check = XXH3_64bits(text.data(), text.size());
      std::memcpy(file.data() + 8, &length, 8);
      std::memcpy(file.data() + 16, &check, 8);
      const auto loaded = Image::parse(file);
      if (loaded) {
        const auto again = Image::parse(loaded->image.snapshot(1, 2));
        if (!again || again->image.rows() != loaded->image.rows()) __builtin_trap();
        for (RowNumber row = 0; row < loaded->image.rows(); ++row) (void)loaded->image.file_name(row);
      }
      break;
    }
    case 1: {
      Image image;
      std::string_view rest = text;
      while (!rest.empty()) {  // records without heads: u8 length, payload
        const auto length = std::min<std::size_t>(static_cast<unsigned char>(rest.front()), rest.size() - 1);
        const auto payload = rest.substr(1, length);
        rest.remove_prefix(1 + length);
        std::string record(8, '\0');
        const auto count = static_cast<std::uint32_t>(payload.size());
        const auto check = static_cast<std::uint32_t>(XXH3_64bits(payload.data(), payload.size()));
        std::memcpy(record.data(), &count, 4);
        std::memcpy(record.data() + 4, &check, 4);
        record += payload;
        std::string_view one = record;
        const auto taken = take_record(one);
        if (!taken) continue;
        std::string again;
        append_record(again, *taken);
        std::string_view second = again;
        if (!take_record(second)) __builtin_trap();
        image.apply(*taken);
      }
      image.compact();
      if (!Image::parse(image.snapshot(1, 1))) __builtin_trap();
      break;
    }
    case 2:
      (void)parse_summary(text);
      break;
    default:
      (void)parse_log_header(text);
  }
  return 0;
}
