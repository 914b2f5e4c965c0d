;; An English auction. examples/auction says what its rules are; these are the same, by hand.
;;
;; guest-sdk/wat/template/rules.wat is the smaller file to begin with: it says what the store calls and how
;; answers are laid out. Here is what more it takes for rules that read JSON and write sentences. In order:
;; memory, constants, writing, reading JSON, the fields of an auction, the rules, and the contract on top.
;;
;; Three habits keep it short. A text is two numbers on the stack, address and length, so a constant is a
;; function that returns both. What was read stands in globals, and a reader returns 1 or 0: it was there, or
;; it was not. And nothing is freed by hand: memory of a call is a pointer that goes back when the call ends.
(module
  ;; == Memory
  ;;
  ;;   16  an answer, and behind it (128) the reason of a refusal and (168) the event that it names
  ;;  320  the scope: its length, its name of at most 200 bytes
  ;;  560  the kinds that `describe` tells
  ;;  768  constants
  ;; 4096  the highest bidder, however long; behind it memory of a call
  (memory (export "memory") 2)
  (global $heap (mut i32) (i32.const 4096))
  (global $floor (mut i32) (i32.const 4096))

  ;; The state. Amounts are in cents; -1 is none, and 0 is no event.
  (global $increment (mut i64) (i64.const 1))
  (global $opening (mut i64) (i64.const -1))
  (global $highest (mut i64) (i64.const -1))
  (global $seq (mut i64) (i64.const 0))         ;; of the highest bid
  (global $bidder (mut i32) (i32.const 4096))
  (global $bidder-len (mut i32) (i32.const 0))
  (global $closed (mut i64) (i64.const 0))      ;; the event that closed it
  (global $head (mut i64) (i64.const 0))        ;; the last event that was folded

  ;; The store asks for memory here, too: for arguments.
  (func $alloc (export "cabi_realloc")
      (param $old i32) (param $old-len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32) (local $short i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (local.set $short (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0)) (then
      ;; Where memory cannot grow, a trap refuses the append.
      (if (i32.eq (i32.const -1) (memory.grow
            (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))))
        (then unreachable))))
    (local.get $at))

  (func $new (param $align i32) (param $len i32) (result i32)
    (call $alloc (i32.const 0) (i32.const 0) (local.get $align) (local.get $len)))

  (func $end-call (global.set $heap (global.get $floor)))

  ;; Moves the bidder to where no call's memory is, which ends the call.
  (func $keep-bidder
    (memory.copy (i32.const 4096) (global.get $bidder) (global.get $bidder-len))
    (global.set $bidder (i32.const 4096))
    (global.set $floor (i32.and
      (i32.add (i32.const 4103) (global.get $bidder-len)) (i32.const -8)))
    (call $end-call))

  (func $same (param $a i32) (param $a-len i32) (param $b i32) (param $b-len i32) (result i32)
    (if (i32.ne (local.get $a-len) (local.get $b-len)) (then (return (i32.const 0))))
    (loop $next
      (if (i32.eqz (local.get $a-len)) (then (return (i32.const 1))))
      (local.set $a-len (i32.sub (local.get $a-len) (i32.const 1)))
      (br_if $next (i32.eq
        (i32.load8_u (i32.add (local.get $a) (local.get $a-len)))
        (i32.load8_u (i32.add (local.get $b) (local.get $a-len))))))
    (i32.const 0))

  ;; == Constants
  (func $auction (result i32 i32) (i32.const 768) (i32.const 7)) (data (i32.const 768) "auction")
  (func $version (result i32 i32) (i32.const 775) (i32.const 5)) (data (i32.const 775) "1.0.0")
  (func $open (result i32 i32) (i32.const 780) (i32.const 4)) (data (i32.const 780) "open")
  (func $bid (result i32 i32) (i32.const 784) (i32.const 3)) (data (i32.const 784) "bid")
  (func $outbid (result i32 i32) (i32.const 787) (i32.const 6)) (data (i32.const 787) "outbid")
  (func $close (result i32 i32) (i32.const 793) (i32.const 5)) (data (i32.const 793) "close")
  (func $highest (result i32 i32) (i32.const 798) (i32.const 7)) (data (i32.const 798) "highest")
  (func $bidder (result i32 i32) (i32.const 805) (i32.const 6)) (data (i32.const 805) "bidder")
  (func $amount (result i32 i32) (i32.const 811) (i32.const 6)) (data (i32.const 811) "amount")
  (func $opening (result i32 i32) (i32.const 817) (i32.const 7)) (data (i32.const 817) "opening")
  (func $most (result i32 i32) (i32.const 824) (i32.const 4)) (data (i32.const 824) "most")
  (func $increment (result i32 i32) (i32.const 828) (i32.const 9)) (data (i32.const 828) "increment")
  (func $true (result i32 i32) (i32.const 837) (i32.const 4)) (data (i32.const 837) "true")
  (func $false (result i32 i32) (i32.const 841) (i32.const 5)) (data (i32.const 841) "false")
  (func $null (result i32 i32) (i32.const 846) (i32.const 4)) (data (i32.const 846) "null")
  (func $json (result i32 i32) (i32.const 850) (i32.const 16)) (data (i32.const 850) "application/json")
  (func $closed-code (result i32 i32) (i32.const 866) (i32.const 6)) (data (i32.const 866) "closed")
  (func $closed (result i32 i32) (i32.const 872) (i32.const 21)) (data (i32.const 872) "the auction is closed")
  (func $malformed-code (result i32 i32) (i32.const 893) (i32.const 9)) (data (i32.const 893) "malformed")
  (func $malformed-1 (result i32 i32) (i32.const 902) (i32.const 16)) (data (i32.const 902) "the payload of \"")
  (func $malformed-2 (result i32 i32) (i32.const 918) (i32.const 27)) (data (i32.const 918) "\" is malformed; it is like ")
  (func $malformed-3 (result i32 i32) (i32.const 945) (i32.const 63))
    (data (i32.const 945) ", with amounts from 0 to 9999999999.99 and at most two decimals")
  (func $like-open (result i32 i32) (i32.const 1008) (i32.const 20)) (data (i32.const 1008) "{\"opening\": \"95.00\"}")
  (func $like-bid (result i32 i32) (i32.const 1028) (i32.const 36)) (data (i32.const 1028) "{\"bidder\": \"ann\", \"amount\": \"95.50\"}")
  (func $like-outbid (result i32 i32) (i32.const 1064) (i32.const 35)) (data (i32.const 1064) "{\"bidder\": \"ann\", \"most\": \"120.00\"}")
  (func $unknown-code (result i32 i32) (i32.const 1099) (i32.const 12)) (data (i32.const 1099) "unknown-kind")
  (func $unknown (result i32 i32) (i32.const 1111) (i32.const 35)) (data (i32.const 1111) "these rules know no event of kind \"")
  (func $quote (result i32 i32) (i32.const 1146) (i32.const 1)) (data (i32.const 1146) "\"")
  (func $already-code (result i32 i32) (i32.const 1147) (i32.const 12)) (data (i32.const 1147) "already-open")
  (func $already (result i32 i32) (i32.const 1159) (i32.const 32)) (data (i32.const 1159) "the opening bid is already fixed")
  (func $below-code (result i32 i32) (i32.const 1191) (i32.const 13)) (data (i32.const 1191) "below-opening")
  (func $below (result i32 i32) (i32.const 1204) (i32.const 19)) (data (i32.const 1204) "the opening bid is ")
  (func $low-code (result i32 i32) (i32.const 1223) (i32.const 7)) (data (i32.const 1223) "too-low")
  (func $low-1 (result i32 i32) (i32.const 1230) (i32.const 19)) (data (i32.const 1230) "the highest bid is ")
  (func $low-2 (result i32 i32) (i32.const 1249) (i32.const 15)) (data (i32.const 1249) "; bid at least ")
  (func $least-1 (result i32 i32) (i32.const 1264) (i32.const 10)) (data (i32.const 1264) "{\"least\":\"")
  (func $least-2 (result i32 i32) (i32.const 1274) (i32.const 2)) (data (i32.const 1274) "\"}")
  (func $sold-1 (result i32 i32) (i32.const 1276) (i32.const 8)) (data (i32.const 1276) "sold to ")
  (func $sold-2 (result i32 i32) (i32.const 1284) (i32.const 5)) (data (i32.const 1284) " for ")
  (func $unsold (result i32 i32) (i32.const 1289) (i32.const 10)) (data (i32.const 1289) "nobody bid")
  (func $placed-1 (result i32 i32) (i32.const 1299) (i32.const 10)) (data (i32.const 1299) "{\"bidder\":")
  (func $placed-2 (result i32 i32) (i32.const 1309) (i32.const 11)) (data (i32.const 1309) ",\"amount\":\"")
  (func $highest-1 (result i32 i32) (i32.const 1320) (i32.const 11)) (data (i32.const 1320) "{\"amount\":\"")
  (func $highest-2 (result i32 i32) (i32.const 1331) (i32.const 11)) (data (i32.const 1331) "\",\"bidder\":")
  (func $highest-3 (result i32 i32) (i32.const 1342) (i32.const 7)) (data (i32.const 1342) ",\"seq\":")
  (func $brace (result i32 i32) (i32.const 1349) (i32.const 1)) (data (i32.const 1349) "}")
  (func $no-query-1 (result i32 i32) (i32.const 1350) (i32.const 26)) (data (i32.const 1350) "the auction has no query \"")
  (func $no-query-2 (result i32 i32) (i32.const 1376) (i32.const 16)) (data (i32.const 1376) "\", but \"highest\"")
  (func $dots (result i32 i32) (i32.const 1392) (i32.const 4)) (data (i32.const 1392) " ...")
  (func $bad-config (result i32 i32) (i32.const 1396) (i32.const 71))
    (data (i32.const 1396) "the configuration of auction is wrong: it is like {\"increment\": \"0.50\"}")
  (func $bad-snapshot (result i32 i32) (i32.const 1467) (i32.const 58))
    (data (i32.const 1467) "this is no snapshot of this scope under this configuration")
  (func $magic (result i32 i32) (i32.const 1525) (i32.const 8)) (data (i32.const 1525) "auction1")
  (func $schema-open (result i32 i32) (i32.const 1533) (i32.const 94))
    (data (i32.const 1533) "{\"type\":\"object\",\"required\":[\"opening\"],\"properties\":{\"opening\":{\"type\":[\"number\",\"string\"]}}}")
  (func $schema-bid (result i32 i32) (i32.const 1627) (i32.const 178))
    (data (i32.const 1627) "{\"type\":\"object\",\"required\":[\"bidder\",\"amount\"],\"properties\":{\"bidder\":{\"type\":[\"string\",\"number\"]},\"amount\":{\"type\":[\"number\",\"string\"]},\"opening\":{\"type\":[\"number\",\"string\"]}}}")
  (func $schema-outbid (result i32 i32) (i32.const 1805) (i32.const 135))
    (data (i32.const 1805) "{\"type\":\"object\",\"required\":[\"bidder\",\"most\"],\"properties\":{\"bidder\":{\"type\":[\"string\",\"number\"]},\"most\":{\"type\":[\"number\",\"string\"]}}}")

  ;; == Writing
  ;;
  ;; $begin, then pieces, then $written or $sentence, which return the text. Between them nothing else may ask
  ;; for memory, so the pieces lie one behind the other.
  (global $text (mut i32) (i32.const 0))

  (func $begin (global.set $text (global.get $heap)))

  (func $put (param $at i32) (param $len i32)
    (memory.copy (call $new (i32.const 1) (local.get $len)) (local.get $at) (local.get $len)))

  (func $put-byte (param $byte i32)
    (i32.store8 (call $new (i32.const 1) (i32.const 1)) (local.get $byte)))

  (func $put-number (param $number i64)
    (if (i64.ge_u (local.get $number) (i64.const 10))
      (then (call $put-number (i64.div_u (local.get $number) (i64.const 10)))))
    (call $put-byte (i32.add (i32.const 48) (i32.wrap_i64 (i64.rem_u (local.get $number) (i64.const 10))))))

  ;; As in 95.50.
  (func $put-money (param $cents i64)
    (local $part i32)
    (local.set $part (i32.wrap_i64 (i64.rem_u (local.get $cents) (i64.const 100))))
    (call $put-number (i64.div_u (local.get $cents) (i64.const 100)))
    (call $put-byte (i32.const 46))
    (call $put-byte (i32.add (i32.const 48) (i32.div_u (local.get $part) (i32.const 10))))
    (call $put-byte (i32.add (i32.const 48) (i32.rem_u (local.get $part) (i32.const 10)))))

  ;; What stands behind the backslash for a byte, 0 for a byte that needs none, 117 (u) for a number.
  (func $escape-of (param $byte i32) (result i32)
    (if (i32.or (i32.eq (local.get $byte) (i32.const 34)) (i32.eq (local.get $byte) (i32.const 92)))
      (then (return (local.get $byte))))
    (if (i32.ge_u (local.get $byte) (i32.const 32)) (then (return (i32.const 0))))
    (if (i32.eq (local.get $byte) (i32.const 8)) (then (return (i32.const 98))))    ;; \b
    (if (i32.eq (local.get $byte) (i32.const 9)) (then (return (i32.const 116))))   ;; \t
    (if (i32.eq (local.get $byte) (i32.const 10)) (then (return (i32.const 110))))  ;; \n
    (if (i32.eq (local.get $byte) (i32.const 12)) (then (return (i32.const 102))))  ;; \f
    (if (i32.eq (local.get $byte) (i32.const 13)) (then (return (i32.const 114))))  ;; \r
    (i32.const 117))

  ;; A text as a string of JSON.
  (func $put-string (param $at i32) (param $len i32)
    (local $end i32) (local $byte i32) (local $escape i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (call $put-byte (i32.const 34))
    (block $all (loop $next
      (br_if $all (i32.eq (local.get $at) (local.get $end)))
      (local.set $byte (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (local.set $escape (call $escape-of (local.get $byte)))
      (if (local.get $escape) (then
        (call $put-byte (i32.const 92))
        (call $put-byte (local.get $escape))))
      (if (i32.eq (local.get $escape) (i32.const 117)) (then
        ;; What needs four digits is below 32: 00, then 0 or 1, then a digit.
        (call $put-byte (i32.const 48))
        (call $put-byte (i32.const 48))
        (call $put-byte (i32.add (i32.const 48) (i32.shr_u (local.get $byte) (i32.const 4))))
        (local.set $byte (i32.and (local.get $byte) (i32.const 15)))
        (local.set $byte (i32.add (local.get $byte)
          (select (i32.const 48) (i32.const 87) (i32.lt_u (local.get $byte) (i32.const 10)))))))
      (if (i32.or (i32.eqz (local.get $escape)) (i32.eq (local.get $escape) (i32.const 117)))
        (then (call $put-byte (local.get $byte))))
      (br $next)))
    (call $put-byte (i32.const 34)))

  (func $written (result i32 i32)
    (global.get $text)
    (i32.sub (global.get $heap) (global.get $text)))

  ;; The text as a sentence, of which the contract takes 1024 bytes: a longer one is cut between characters.
  (func $sentence (result i32 i32)
    (local $cut i32)
    (if (i32.gt_u (i32.sub (global.get $heap) (global.get $text)) (i32.const 1024)) (then
      (local.set $cut (i32.add (global.get $text) (i32.const 1020)))
      (loop $back
        (if (i32.eq (i32.and (i32.load8_u (local.get $cut)) (i32.const 0xc0)) (i32.const 0x80)) (then
          (local.set $cut (i32.sub (local.get $cut) (i32.const 1)))
          (br $back))))
      (global.set $heap (local.get $cut))
      (call $put (call $dots))))
    (call $written))

  ;; == Reading JSON
  ;;
  ;; A cursor and its end. What is read moves the cursor; after a 0 nobody reads on.
  (global $at (mut i32) (i32.const 0))
  (global $end (mut i32) (i32.const 0))
  (global $string (mut i32) (i32.const 0))
  (global $string-len (mut i32) (i32.const 0))
  (global $value (mut f64) (f64.const 0))

  ;; The byte at the cursor; -1 at the end.
  (func $next (result i32)
    (if (result i32) (i32.lt_u (global.get $at) (global.get $end))
      (then (i32.load8_u (global.get $at)))
      (else (i32.const -1))))

  (func $step (global.set $at (i32.add (global.get $at) (i32.const 1))))

  ;; Steps over this byte, if it is there.
  (func $take (param $byte i32) (result i32)
    (if (i32.ne (call $next) (local.get $byte)) (then (return (i32.const 0))))
    (call $step)
    (i32.const 1))

  (func $spaces
    (local $byte i32)
    (loop $more
      (local.set $byte (call $next))
      (if (i32.or
            (i32.or (i32.eq (local.get $byte) (i32.const 32)) (i32.eq (local.get $byte) (i32.const 10)))
            (i32.or (i32.eq (local.get $byte) (i32.const 13)) (i32.eq (local.get $byte) (i32.const 9))))
        (then (call $step) (br $more)))))

  (func $token (param $byte i32) (result i32)
    (call $spaces)
    (call $take (local.get $byte)))

  (func $word (param $word i32) (param $len i32) (result i32)
    (if (i32.gt_u (local.get $len) (i32.sub (global.get $end) (global.get $at)))
      (then (return (i32.const 0))))
    (if (i32.eqz (call $same (local.get $word) (local.get $len) (global.get $at) (local.get $len)))
      (then (return (i32.const 0))))
    (global.set $at (i32.add (global.get $at) (local.get $len)))
    (i32.const 1))

  ;; A number is its first nineteen digits as an integer, and a power of ten.
  (global $digits (mut i64) (i64.const 0))
  (global $power (mut i32) (i32.const 0))

  ;; Reads digits and returns how many there were. `behind` is -1 behind the point, before it 0.
  (func $digits (param $behind i32) (result i32)
    (local $digit i32) (local $count i32)
    (loop $more
      (local.set $digit (i32.sub (call $next) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10)) (then
        (if (i64.lt_u (global.get $digits) (i64.const 1844674407370955161))
          (then
            (global.set $digits (i64.add
              (i64.mul (global.get $digits) (i64.const 10)) (i64.extend_i32_u (local.get $digit))))
            (global.set $power (i32.add (global.get $power) (local.get $behind))))
          ;; One more would overflow: it is dropped, and the number is ten times larger.
          (else (global.set $power (i32.add
            (global.get $power) (i32.add (local.get $behind) (i32.const 1))))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (call $step)
        (br $more))))
    (local.get $count))

  ;; What stands behind an e, up to far more than a number can have.
  (func $exponent (result i32)
    (local $negative i32) (local $digit i32) (local $count i32) (local $sum i32)
    (local.set $negative (call $take (i32.const 45)))
    (if (i32.eqz (local.get $negative)) (then (drop (call $take (i32.const 43)))))
    (loop $more
      (local.set $digit (i32.sub (call $next) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10)) (then
        (if (i32.lt_u (local.get $sum) (i32.const 100000000)) (then
          (local.set $sum (i32.add (i32.mul (local.get $sum) (i32.const 10)) (local.get $digit)))))
        (local.set $count (i32.add (local.get $count) (i32.const 1)))
        (call $step)
        (br $more))))
    (global.set $power (i32.add (global.get $power)
      (select (i32.sub (i32.const 0) (local.get $sum)) (local.get $sum) (local.get $negative))))
    (i32.ne (local.get $count) (i32.const 0)))

  ;; $digits with $power tens. Powers of ten are exact up to 22, and so is what an amount can be; what is
  ;; beyond is too large or too small for one, whatever it is exactly.
  (func $scaled (result f64)
    (local $value f64) (local $ten f64) (local $power i32)
    (local.set $value (f64.convert_i64_u (global.get $digits)))
    (if (i64.eqz (global.get $digits)) (then (return (local.get $value))))
    (if (i32.gt_s (global.get $power) (i32.const 400)) (then (return (f64.const inf))))
    (if (i32.lt_s (global.get $power) (i32.const -400)) (then (return (f64.const 0))))
    (local.set $power (global.get $power))
    (loop $more
      (local.set $ten (f64.const 1))
      (block $enough (loop $tens
        (br_if $enough (i32.or (i32.eqz (local.get $power)) (f64.eq (local.get $ten) (f64.const 1e22))))
        (local.set $ten (f64.mul (local.get $ten) (f64.const 10)))
        (local.set $power (i32.add (local.get $power)
          (select (i32.const 1) (i32.const -1) (i32.lt_s (global.get $power) (i32.const 0)))))
        (br $tens)))
      (if (i32.lt_s (global.get $power) (i32.const 0))
        (then (local.set $value (f64.div (local.get $value) (local.get $ten))))
        (else (local.set $value (f64.mul (local.get $value) (local.get $ten)))))
      (br_if $more (local.get $power)))
    (local.get $value))

  (func $number (result i32)
    (local $negative i32)
    (global.set $digits (i64.const 0))
    (global.set $power (i32.const 0))
    (local.set $negative (call $take (i32.const 45)))
    ;; No digit may follow a zero; one that does is left for the next reader, who does not want it.
    (if (i32.eqz (call $take (i32.const 48))) (then
      (if (i32.eqz (call $digits (i32.const 0))) (then (return (i32.const 0))))))
    (if (call $take (i32.const 46)) (then
      (if (i32.eqz (call $digits (i32.const -1))) (then (return (i32.const 0))))))
    (if (i32.or (call $take (i32.const 101)) (call $take (i32.const 69))) (then
      (if (i32.eqz (call $exponent)) (then (return (i32.const 0))))))
    (global.set $value (call $scaled))
    (if (local.get $negative) (then (global.set $value (f64.neg (global.get $value)))))
    (i32.const 1))

  ;; Four hexadecimal digits; -1 if they are not there.
  (func $hex (result i32)
    (local $sum i32) (local $count i32) (local $byte i32) (local $digit i32)
    (loop $more
      (local.set $byte (call $next))
      (local.set $digit (i32.sub (local.get $byte) (i32.const 48)))
      (if (i32.ge_u (local.get $digit) (i32.const 10)) (then
        ;; Lower case; a is 97.
        (local.set $digit (i32.sub (i32.or (local.get $byte) (i32.const 32)) (i32.const 97)))
        (if (i32.ge_u (local.get $digit) (i32.const 6)) (then (return (i32.const -1))))
        (local.set $digit (i32.add (local.get $digit) (i32.const 10)))))
      (local.set $sum (i32.or (i32.shl (local.get $sum) (i32.const 4)) (local.get $digit)))
      (local.set $count (i32.add (local.get $count) (i32.const 1)))
      (call $step)
      (br_if $more (i32.lt_u (local.get $count) (i32.const 4))))
    (local.get $sum))

  ;; The character behind a backslash; -1 if there is none, or half of one.
  (func $escaped (result i32)
    (local $byte i32) (local $high i32) (local $low i32)
    (local.set $byte (call $next))
    (call $step)
    (if (i32.or (i32.eq (local.get $byte) (i32.const 34))
          (i32.or (i32.eq (local.get $byte) (i32.const 92)) (i32.eq (local.get $byte) (i32.const 47))))
      (then (return (local.get $byte))))
    (if (i32.eq (local.get $byte) (i32.const 98)) (then (return (i32.const 8))))    ;; \b
    (if (i32.eq (local.get $byte) (i32.const 102)) (then (return (i32.const 12))))  ;; \f
    (if (i32.eq (local.get $byte) (i32.const 110)) (then (return (i32.const 10))))  ;; \n
    (if (i32.eq (local.get $byte) (i32.const 114)) (then (return (i32.const 13))))  ;; \r
    (if (i32.eq (local.get $byte) (i32.const 116)) (then (return (i32.const 9))))   ;; \t
    (if (i32.ne (local.get $byte) (i32.const 117)) (then (return (i32.const -1))))
    (local.set $high (call $hex))
    ;; d800 to dbff is the first half of a wide character, dc00 to dfff the second; -1 is none of them.
    (if (i32.ne (i32.and (local.get $high) (i32.const 0xfffff800)) (i32.const 0xd800))
      (then (return (local.get $high))))
    (if (i32.ge_u (local.get $high) (i32.const 0xdc00)) (then (return (i32.const -1))))
    (if (i32.eqz (call $take (i32.const 92))) (then (return (i32.const -1))))
    (if (i32.eqz (call $take (i32.const 117))) (then (return (i32.const -1))))
    (local.set $low (call $hex))
    (if (i32.ne (i32.and (local.get $low) (i32.const 0xfffffc00)) (i32.const 0xdc00))
      (then (return (i32.const -1))))
    (i32.add (i32.const 0x10000) (i32.or
      (i32.shl (i32.and (local.get $high) (i32.const 0x3ff)) (i32.const 10))
      (i32.and (local.get $low) (i32.const 0x3ff)))))

  ;; Six bits of a character, as the contract's UTF-8 has them behind the first byte.
  (func $put-tail (param $code i32)
    (call $put-byte (i32.or (i32.const 0x80) (i32.and (local.get $code) (i32.const 0x3f)))))

  (func $put-character (param $code i32)
    (if (i32.lt_u (local.get $code) (i32.const 0x80)) (then (call $put-byte (local.get $code)) (return)))
    (if (i32.lt_u (local.get $code) (i32.const 0x800))
      (then (call $put-byte (i32.or (i32.const 0xc0) (i32.shr_u (local.get $code) (i32.const 6)))))
      (else
        (if (i32.lt_u (local.get $code) (i32.const 0x10000))
          (then (call $put-byte (i32.or (i32.const 0xe0) (i32.shr_u (local.get $code) (i32.const 12)))))
          (else
            (call $put-byte (i32.or (i32.const 0xf0) (i32.shr_u (local.get $code) (i32.const 18))))
            (call $put-tail (i32.shr_u (local.get $code) (i32.const 12)))))
        (call $put-tail (i32.shr_u (local.get $code) (i32.const 6)))))
    (call $put-tail (local.get $code)))

  ;; A string, to $string. Pieces without a backslash are copied whole.
  (func $string (result i32)
    (local $byte i32) (local $from i32) (local $code i32)
    (if (i32.eqz (call $take (i32.const 34))) (then (return (i32.const 0))))
    (call $begin)
    (loop $pieces
      (local.set $from (global.get $at))
      (loop $plain
        (local.set $byte (call $next))
        ;; No control characters, and no end.
        (if (i32.lt_s (local.get $byte) (i32.const 32)) (then (return (i32.const 0))))
        (if (i32.and (i32.ne (local.get $byte) (i32.const 34)) (i32.ne (local.get $byte) (i32.const 92)))
          (then (call $step) (br $plain))))
      (call $put (local.get $from) (i32.sub (global.get $at) (local.get $from)))
      (call $step)
      (if (i32.eq (local.get $byte) (i32.const 92)) (then
        (local.set $code (call $escaped))
        (if (i32.lt_s (local.get $code) (i32.const 0)) (then (return (i32.const 0))))
        (call $put-character (local.get $code))
        (br $pieces))))
    (call $written)
    (global.set $string-len)
    (global.set $string)
    (i32.const 1))

  ;; Any value, nested at most so deep; nobody wants it.
  (func $skip (param $depth i32) (result i32)
    (local $first i32) (local $close i32)
    (call $spaces)
    (local.set $first (call $next))
    (if (i32.eq (local.get $first) (i32.const 34)) (then (return (call $string))))
    (if (i32.eq (local.get $first) (i32.const 116)) (then (return (call $word (call $true)))))
    (if (i32.eq (local.get $first) (i32.const 102)) (then (return (call $word (call $false)))))
    (if (i32.eq (local.get $first) (i32.const 110)) (then (return (call $word (call $null)))))
    ;; One bit tells [ from {, and each is two before the one that closes it.
    (if (i32.ne (i32.or (local.get $first) (i32.const 32)) (i32.const 123))
      (then (return (call $number))))
    (if (i32.eqz (local.get $depth)) (then (return (i32.const 0))))
    (call $step)
    (local.set $close (i32.add (local.get $first) (i32.const 2)))
    (if (call $token (local.get $close)) (then (return (i32.const 1))))
    (loop $members
      (if (i32.eq (local.get $first) (i32.const 123)) (then
        (call $spaces)
        (if (i32.eqz (call $string)) (then (return (i32.const 0))))
        (if (i32.eqz (call $token (i32.const 58))) (then (return (i32.const 0))))))
      (if (i32.eqz (call $skip (i32.sub (local.get $depth) (i32.const 1)))) (then (return (i32.const 0))))
      (br_if $members (call $token (i32.const 44))))
    (call $token (local.get $close)))

  ;; True for well-formed UTF-8: no byte too many or too few, no longer form than needed, no half characters.
  (func $utf8 (param $at i32) (param $len i32) (result i32)
    (local $end i32) (local $byte i32) (local $more i32) (local $code i32) (local $least i32)
    (local.set $end (i32.add (local.get $at) (local.get $len)))
    (loop $characters
      (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 1))))
      (local.set $byte (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (br_if $characters (i32.lt_u (local.get $byte) (i32.const 0x80)))
      ;; The ones that the first byte begins with are the bytes of the character.
      (local.set $more (i32.sub
        (i32.clz (i32.xor (i32.shl (local.get $byte) (i32.const 24)) (i32.const -1))) (i32.const 1)))
      (if (i32.gt_u (i32.sub (local.get $more) (i32.const 1)) (i32.const 2))
        (then (return (i32.const 0))))
      (local.set $code (i32.and
        (local.get $byte) (i32.shr_u (i32.const 0x3f) (local.get $more))))
      ;; 0x80, 0x800, 0x10000
      (local.set $least (i32.shl (i32.const 1) (i32.add
        (i32.add (i32.mul (local.get $more) (i32.const 5)) (i32.const 1))
        (i32.eq (local.get $more) (i32.const 1)))))
      (loop $tail
        (if (i32.eq (local.get $at) (local.get $end)) (then (return (i32.const 0))))
        (local.set $byte (i32.xor (i32.load8_u (local.get $at)) (i32.const 0x80)))
        (if (i32.ge_u (local.get $byte) (i32.const 0x40)) (then (return (i32.const 0))))
        (local.set $code (i32.or (i32.shl (local.get $code) (i32.const 6)) (local.get $byte)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $more (i32.sub (local.get $more) (i32.const 1)))
        (br_if $tail (local.get $more)))
      (br_if $characters (i32.and
        (i32.and
          (i32.ge_u (local.get $code) (local.get $least))
          (i32.le_u (local.get $code) (i32.const 0x10ffff)))
        (i32.ne (i32.and (local.get $code) (i32.const 0x1ff800)) (i32.const 0xd800)))))
    (i32.const 0))

  ;; == The fields of an auction
  (global $got-bidder (mut i32) (i32.const 0))
  (global $got-bidder-len (mut i32) (i32.const 0))
  (global $got-opening (mut i64) (i64.const -1))
  (global $got-amount (mut i64) (i64.const -1))

  ;; Text: up to ten digits, and up to two more behind a point.
  (func $cents-of-text (result i64)
    (local $at i32) (local $end i32) (local $whole i32) (local $part i32) (local $cents i64)
    (local.set $at (global.get $at))
    (local.set $end (global.get $end))
    (global.set $at (global.get $string))
    (global.set $end (i32.add (global.get $string) (global.get $string-len)))
    (global.set $digits (i64.const 0))
    (local.set $whole (call $digits (i32.const 0)))
    (if (call $take (i32.const 46)) (then
      (local.set $part (call $digits (i32.const -1)))
      (if (i32.eqz (local.get $part)) (then (local.set $part (i32.const 3))))))
    (local.set $cents (i64.mul (global.get $digits)
      (select (i64.const 100)
        (select (i64.const 10) (i64.const 1) (i32.eq (local.get $part) (i32.const 1)))
        (i32.eqz (local.get $part)))))
    (if (i32.or
          (i32.or (i32.eqz (local.get $whole)) (i32.gt_u (local.get $whole) (i32.const 10)))
          (i32.or (i32.gt_u (local.get $part) (i32.const 2)) (i32.ne (global.get $at) (global.get $end))))
      (then (local.set $cents (i64.const -1))))
    (global.set $at (local.get $at))
    (global.set $end (local.get $end))
    (local.get $cents))

  ;; An amount as people and spreadsheets write it: 95, 95.5 or "95.50". One that is no whole number of cents,
  ;; or not from 0 to 9999999999.99, is -1, never rounded.
  (func $cents (result i64)
    (local $cents f64)
    (call $spaces)
    (if (i32.eq (call $next) (i32.const 34)) (then
      (if (i32.eqz (call $string)) (then (return (i64.const -1))))
      (return (call $cents-of-text))))
    (if (i32.eqz (call $number)) (then (return (i64.const -1))))
    (local.set $cents (f64.nearest (f64.mul (global.get $value) (f64.const 100))))
    ;; Division rounds correctly, so exactly the numbers written with two decimals come back.
    (if (f64.ne (f64.div (local.get $cents) (f64.const 100)) (global.get $value))
      (then (return (i64.const -1))))
    (if (f64.lt (local.get $cents) (f64.const 0)) (then (return (i64.const -1))))
    (if (f64.gt (local.get $cents) (f64.const 999999999999)) (then (return (i64.const -1))))
    (i64.trunc_f64_u (local.get $cents)))

  ;; Who bids: text, or a whole number that every language reads exactly, which is up to 2^53 - 1.
  (func $name (result i32)
    (call $spaces)
    (if (i32.eq (call $next) (i32.const 34)) (then (return (call $string))))
    (if (i32.eqz (call $number)) (then (return (i32.const 0))))
    (if (f64.ne (f64.trunc (global.get $value)) (global.get $value)) (then (return (i32.const 0))))
    (if (f64.lt (global.get $value) (f64.const 0)) (then (return (i32.const 0))))
    (if (f64.gt (global.get $value) (f64.const 9007199254740991)) (then (return (i32.const 0))))
    (call $begin)
    (call $put-number (i64.trunc_f64_u (global.get $value)))
    (call $written)
    (global.set $string-len)
    (global.set $string)
    (i32.const 1))

  ;; Fields as bits: 1 bidder, 2 amount, 4 opening, 8 most, 16 increment.
  (func $is (param $word i32) (param $len i32) (result i32)
    (call $same (local.get $word) (local.get $len) (global.get $string) (global.get $string-len)))

  (func $field (result i32)
    (i32.or (call $is (call $bidder)) (i32.or
      (i32.or
        (i32.shl (call $is (call $amount)) (i32.const 1))
        (i32.shl (call $is (call $opening)) (i32.const 2)))
      (i32.or
        (i32.shl (call $is (call $most)) (i32.const 3))
        (i32.shl (call $is (call $increment)) (i32.const 4))))))

  ;; The value of a field. Only an opening bid may be null, which is none.
  (func $field-value (param $field i32) (result i32)
    (if (i32.eqz (local.get $field)) (then (return (call $skip (i32.const 127)))))
    (if (i32.eq (local.get $field) (i32.const 1)) (then
      (if (i32.eqz (call $name)) (then (return (i32.const 0))))
      (global.set $got-bidder (global.get $string))
      (global.set $got-bidder-len (global.get $string-len))
      (return (i32.const 1))))
    (if (i32.eq (local.get $field) (i32.const 4)) (then
      (call $spaces)
      (if (call $word (call $null)) (then (return (i32.const 1))))
      (global.set $got-opening (call $cents))
      (return (i64.ge_s (global.get $got-opening) (i64.const 0)))))
    (global.set $got-amount (call $cents))
    (i64.ge_s (global.get $got-amount) (i64.const 0)))

  ;; Reads an object. Of the fields that are not wanted, each is skipped, or none may be there. A field twice is
  ;; an error, as it is in Rust.
  (func $object (param $at i32) (param $len i32) (param $wanted i32) (param $needed i32) (param $others i32)
      (result i32)
    (local $field i32) (local $seen i32)
    (global.set $at (local.get $at))
    (global.set $end (i32.add (local.get $at) (local.get $len)))
    (global.set $got-opening (i64.const -1))
    (if (i32.eqz (call $utf8 (local.get $at) (local.get $len))) (then (return (i32.const 0))))
    (if (i32.eqz (call $token (i32.const 123))) (then (return (i32.const 0))))
    (if (i32.eqz (call $token (i32.const 125))) (then
      (loop $members
        (call $spaces)
        (if (i32.eqz (call $string)) (then (return (i32.const 0))))
        (local.set $field (i32.and (call $field) (local.get $wanted)))
        (if (i32.eqz (i32.or (local.get $field) (local.get $others))) (then (return (i32.const 0))))
        (if (i32.and (local.get $seen) (local.get $field)) (then (return (i32.const 0))))
        (local.set $seen (i32.or (local.get $seen) (local.get $field)))
        (if (i32.eqz (call $token (i32.const 58))) (then (return (i32.const 0))))
        (if (i32.eqz (call $field-value (local.get $field))) (then (return (i32.const 0))))
        (br_if $members (call $token (i32.const 44))))
      (if (i32.eqz (call $token (i32.const 125))) (then (return (i32.const 0))))))
    (call $spaces)
    (i32.and
      (i32.eq (global.get $at) (global.get $end))
      (i32.eq (i32.and (local.get $seen) (local.get $needed)) (local.get $needed))))

  (func $read-open (param $at i32) (param $len i32) (result i32)
    (i32.and
      (call $object (local.get $at) (local.get $len) (i32.const 4) (i32.const 4) (i32.const 1))
      (i64.ge_s (global.get $got-opening) (i64.const 0))))

  (func $read-bid (param $at i32) (param $len i32) (result i32)
    (call $object (local.get $at) (local.get $len) (i32.const 7) (i32.const 3) (i32.const 1)))

  (func $read-outbid (param $at i32) (param $len i32) (result i32)
    (call $object (local.get $at) (local.get $len) (i32.const 9) (i32.const 9) (i32.const 1)))

  ;; The increment is the least step if there is no configuration, or none in it.
  (func $read-config (param $configured i32) (param $at i32) (param $len i32) (result i32)
    (global.set $increment (i64.const 1))
    (if (i32.eqz (local.get $configured)) (then (return (i32.const 1))))
    (global.set $got-amount (i64.const 0))
    (if (i32.eqz (call $object (local.get $at) (local.get $len) (i32.const 16) (i32.const 0) (i32.const 0)))
      (then (return (i32.const 0))))
    (if (i64.gt_s (global.get $got-amount) (i64.const 1))
      (then (global.set $increment (global.get $got-amount))))
    (i32.const 1))

  ;; == The rules
  (func $fix-opening (param $opening i64)
    (if (i64.lt_s (global.get $opening) (i64.const 0)) (then (global.set $opening (local.get $opening)))))

  (func $place (param $amount i64) (param $seq i64)
    (global.set $highest (local.get $amount))
    (global.set $seq (local.get $seq))
    (global.set $bidder (global.get $got-bidder))
    (global.set $bidder-len (global.get $got-bidder-len)))

  ;; Folds an event. One that the rules cannot read was none of theirs.
  (func $fold (param $kind i32) (param $kind-len i32) (param $payload i32) (param $payload-len i32) (param $seq i64)
    (global.set $head (local.get $seq))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $open)) (then
      (if (call $read-open (local.get $payload) (local.get $payload-len))
        (then (call $fix-opening (global.get $got-opening))))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $bid)) (then
      (if (call $read-bid (local.get $payload) (local.get $payload-len)) (then
        (call $fix-opening (global.get $got-opening))
        (call $place (global.get $got-amount) (local.get $seq))))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $close))
      (then (global.set $closed (local.get $seq)))))

  (func $pair (param $first i32) (param $second i32) (param $to i32)
    (i32.store (local.get $to) (local.get $first))
    (i32.store offset=4 (local.get $to) (local.get $second)))

  ;; A refusal with one reason, which names an event unless it is 0. The answer is { 1, index, reasons, no meta },
  ;; a reason { code, message, data: option, seqs }. Returns 0, as judges do who refuse.
  (global $index (mut i32) (i32.const 0))
  (func $refuse (param $code i32) (param $code-len i32) (param $message i32) (param $message-len i32) (param $seq i64)
      (result i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i32.store (i32.const 20) (global.get $index))
    (call $pair (i32.const 128) (i32.const 1) (i32.const 24))
    (i32.store (i32.const 32) (i32.const 0))
    (call $pair (local.get $code) (local.get $code-len) (i32.const 128))
    (call $pair (local.get $message) (local.get $message-len) (i32.const 136))
    (i32.store (i32.const 144) (i32.const 0))
    (i64.store (i32.const 168) (local.get $seq))
    (call $pair (i32.const 168) (i64.ne (local.get $seq) (i64.const 0)) (i32.const 156))
    (i32.const 0))

  ;; The payload should have been like this.
  (func $malformed (param $kind i32) (param $kind-len i32) (param $like i32) (param $like-len i32) (result i32)
    (call $begin)
    (call $put (call $malformed-1))
    (call $put (local.get $kind) (local.get $kind-len))
    (call $put (call $malformed-2))
    (call $put (local.get $like) (local.get $like-len))
    (call $put (call $malformed-3))
    (call $refuse (call $malformed-code) (call $sentence) (i64.const 0)))

  ;; The larger one; none is less than any amount.
  (func $larger (param $a i64) (param $b i64) (result i64)
    (select (local.get $a) (local.get $b) (i64.gt_s (local.get $a) (local.get $b))))

  ;; What must be bid to beat the highest.
  (func $over (result i64)
    (if (result i64) (i64.lt_s (global.get $highest) (i64.const 0))
      (then (i64.const 0))
      (else (i64.add (global.get $highest) (global.get $increment)))))

  ;; Refuses an amount that is not enough.
  (func $check (param $amount i64) (param $opening i64) (result i32)
    (local $refused i32)
    (if (i64.lt_s (local.get $amount) (local.get $opening)) (then
      (call $begin)
      (call $put (call $below))
      (call $put-money (local.get $opening))
      (return (call $refuse (call $below-code) (call $sentence) (i64.const 0)))))
    (if (i64.ge_s (local.get $amount) (call $over)) (then (return (i32.const 1))))
    (call $begin)
    (call $put (call $low-1))
    (call $put-money (global.get $highest))
    (call $put (call $low-2))
    (call $put-money (call $over))
    (local.set $refused (call $refuse (call $low-code) (call $sentence) (global.get $seq)))
    (call $begin)
    (call $put (call $least-1))
    (call $put-money (call $over))
    (call $put (call $least-2))
    (i32.store (i32.const 144) (i32.const 1))
    (call $pair (call $written) (i32.const 148))
    (local.get $refused))

  ;; Judges fold what they accept; $validate takes that back in the end. An acceptance is 44 bytes, all zero for
  ;; yes, as proposed: { 0 instead: option, 12 reason: option, 24 meta: option, 36 outputs }.
  (func $judge-open (param $payload i32) (param $len i32) (result i32)
    (if (i32.eqz (call $read-open (local.get $payload) (local.get $len)))
      (then (return (call $malformed (call $open) (call $like-open)))))
    (if (i32.and
          (i64.lt_s (global.get $opening) (i64.const 0)) (i64.lt_s (global.get $highest) (i64.const 0)))
      (then
        (call $fix-opening (global.get $got-opening))
        (return (i32.const 1))))
    (call $refuse (call $already-code) (call $already) (i64.const 0)))

  (func $judge-bid (param $payload i32) (param $len i32) (result i32)
    (if (i32.eqz (call $read-bid (local.get $payload) (local.get $len)))
      (then (return (call $malformed (call $bid) (call $like-bid)))))
    (if (i32.eqz (call $check (global.get $got-amount)
          (select (global.get $got-opening) (global.get $opening)
            (i64.lt_s (global.get $opening) (i64.const 0)))))
      (then (return (i32.const 0))))
    (call $fix-opening (global.get $got-opening))
    (call $place (global.get $got-amount) (global.get $head))
    (i32.const 1))

  ;; A command: the least that is enough is stored in its place, as a bid. A new event is 40 bytes:
  ;; { kind, content-type, payload, keys, metadata }.
  (func $judge-outbid (param $payload i32) (param $len i32) (param $yes i32) (result i32)
    (local $least i64) (local $event i32)
    (if (i32.eqz (call $read-outbid (local.get $payload) (local.get $len)))
      (then (return (call $malformed (call $outbid) (call $like-outbid)))))
    (if (i32.eqz (call $check (global.get $got-amount) (global.get $opening)))
      (then (return (i32.const 0))))
    (local.set $least (call $larger (call $over) (global.get $opening)))
    (local.set $event (call $new (i32.const 4) (i32.const 40)))
    (call $begin)
    (call $put (call $placed-1))
    (call $put-string (global.get $got-bidder) (global.get $got-bidder-len))
    (call $put (call $placed-2))
    (call $put-money (local.get $least))
    (call $put (call $least-2))
    (call $pair (call $bid) (local.get $event))
    (call $pair (call $json) (i32.add (local.get $event) (i32.const 8)))
    (call $pair (call $written) (i32.add (local.get $event) (i32.const 16)))
    (memory.fill (i32.add (local.get $event) (i32.const 24)) (i32.const 0) (i32.const 16))
    (i32.store (local.get $yes) (i32.const 1))
    (call $pair (local.get $event) (i32.const 1) (i32.add (local.get $yes) (i32.const 4)))
    (i32.store offset=24 (local.get $yes) (i32.const 1))
    (call $pair (call $written) (i32.add (local.get $yes) (i32.const 28)))
    (call $place (local.get $least) (global.get $head))
    (i32.const 1))

  (func $judge-close (param $yes i32) (result i32)
    (call $begin)
    (if (i64.lt_s (global.get $highest) (i64.const 0))
      (then (call $put (call $unsold)))
      (else
        (call $put (call $sold-1))
        (call $put (global.get $bidder) (global.get $bidder-len))
        (call $put (call $sold-2))
        (call $put-money (global.get $highest))))
    (i32.store offset=12 (local.get $yes) (i32.const 1))
    (call $pair (call $sentence) (i32.add (local.get $yes) (i32.const 16)))
    (global.set $closed (global.get $head))
    (i32.const 1))

  ;; A proposal is 64 bytes: { 0 kind, 8 content-type, 16 payload, .. }.
  (func $judge (param $proposal i32) (param $yes i32) (result i32)
    (local $kind i32) (local $kind-len i32) (local $payload i32) (local $len i32)
    (local.set $kind (i32.load (local.get $proposal)))
    (local.set $kind-len (i32.load offset=4 (local.get $proposal)))
    (local.set $payload (i32.load offset=16 (local.get $proposal)))
    (local.set $len (i32.load offset=20 (local.get $proposal)))
    (if (i64.ne (global.get $closed) (i64.const 0))
      (then (return (call $refuse (call $closed-code) (call $closed) (global.get $closed)))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $open))
      (then (return (call $judge-open (local.get $payload) (local.get $len)))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $bid))
      (then (return (call $judge-bid (local.get $payload) (local.get $len)))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $outbid))
      (then (return (call $judge-outbid (local.get $payload) (local.get $len) (local.get $yes)))))
    (if (call $same (local.get $kind) (local.get $kind-len) (call $close))
      (then (return (call $judge-close (local.get $yes)))))
    (call $begin)
    (call $put (call $unknown))
    (call $put (local.get $kind) (local.get $kind-len))
    (call $put (call $quote))
    (call $refuse (call $unknown-code) (call $sentence) (i64.const 0)))

  ;; == The contract
  ;;
  ;; One word of a case, and a text or a list: result<_, string>, result<list<u8>, string>, option<list<u8>>.
  (func $answer (param $case i32) (param $at i32) (param $len i32) (result i32)
    (i32.store (i32.const 16) (local.get $case))
    (call $pair (local.get $at) (local.get $len) (i32.const 20))
    (i32.const 16))

  (func $kind (param $name i32) (param $len i32) (param $schema i32) (param $schema-len i32) (param $to i32)
    (call $pair (local.get $name) (local.get $len) (local.get $to))
    (i32.store offset=8 (local.get $to) (i32.ne (local.get $schema-len) (i32.const 0)))
    (call $pair (local.get $schema) (local.get $schema-len) (i32.add (local.get $to) (i32.const 12))))

  ;; describe() -> { name, version, kinds: list<{ name, schema: option<string> }> }
  (func (export "atomic-store:validator/rules@1.0.0#describe") (result i32)
    (call $pair (call $auction) (i32.const 16))
    (call $pair (call $version) (i32.const 24))
    (call $pair (i32.const 560) (i32.const 4) (i32.const 32))
    (call $kind (call $open) (call $schema-open) (i32.const 560))
    (call $kind (call $bid) (call $schema-bid) (i32.const 580))
    (call $kind (call $outbid) (call $schema-outbid) (i32.const 600))
    (call $kind (call $close) (i32.const 0) (i32.const 0) (i32.const 620))
    (i32.const 16))

  ;; init(scope, config: option<list<u8>>) -> result<_, string>: 0 is ok
  (func $init (export "atomic-store:validator/rules@1.0.0#init")
      (param $scope i32) (param $scope-len i32) (param $configured i32) (param $config i32) (param $config-len i32)
      (result i32)
    ;; Longer names there are none of, and past 200 bytes constants stand.
    (if (i32.gt_u (local.get $scope-len) (i32.const 200)) (then unreachable))
    (i32.store (i32.const 320) (local.get $scope-len))
    (memory.copy (i32.const 324) (local.get $scope) (local.get $scope-len))
    (global.set $opening (i64.const -1))
    (global.set $highest (i64.const -1))
    (global.set $seq (i64.const 0))
    (global.set $bidder-len (i32.const 0))
    (global.set $closed (i64.const 0))
    (global.set $head (i64.const 0))
    (if (call $read-config (local.get $configured) (local.get $config) (local.get $config-len))
      (then (return (call $answer (i32.const 0) (i32.const 0) (i32.const 0)))))
    (call $answer (i32.const 1) (call $bad-config)))

  ;; apply(events): an event is 72 bytes: { 0 seq, 8 kind, 16 content-type, 24 payload, .. }
  (func (export "atomic-store:validator/rules@1.0.0#apply") (param $event i32) (param $count i32)
    (block $all (loop $next
      (br_if $all (i32.eqz (local.get $count)))
      (call $fold
        (i32.load offset=8 (local.get $event)) (i32.load offset=12 (local.get $event))
        (i32.load offset=24 (local.get $event)) (i32.load offset=28 (local.get $event))
        (i64.load (local.get $event)))
      (local.set $event (i32.add (local.get $event) (i32.const 72)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next)))
    (call $keep-bidder))

  ;; validate(proposals) -> result<list<acceptance>, refusal>. Each proposal counts for those behind it; in the
  ;; end the state is what it was.
  (func (export "atomic-store:validator/rules@1.0.0#validate") (param $proposals i32) (param $count i32) (result i32)
    (local $acceptances i32) (local $good i32)
    (local $opening i64) (local $highest i64) (local $seq i64) (local $bidder i32) (local $bidder-len i32)
    (local $closed i64) (local $head i64)
    (local.set $opening (global.get $opening))
    (local.set $highest (global.get $highest))
    (local.set $seq (global.get $seq))
    (local.set $bidder (global.get $bidder))
    (local.set $bidder-len (global.get $bidder-len))
    (local.set $closed (global.get $closed))
    (local.set $head (global.get $head))
    (local.set $acceptances (call $new (i32.const 4) (i32.mul (local.get $count) (i32.const 44))))
    (memory.fill (local.get $acceptances) (i32.const 0) (i32.mul (local.get $count) (i32.const 44)))
    (global.set $index (i32.const 0))
    (loop $next
      (global.set $head (i64.add (global.get $head) (i64.const 1)))
      (local.set $good (call $judge
        (i32.add (local.get $proposals) (i32.mul (global.get $index) (i32.const 64)))
        (i32.add (local.get $acceptances) (i32.mul (global.get $index) (i32.const 44)))))
      (if (local.get $good) (then
        (global.set $index (i32.add (global.get $index) (i32.const 1)))
        (br_if $next (i32.lt_u (global.get $index) (local.get $count))))))
    (global.set $opening (local.get $opening))
    (global.set $highest (local.get $highest))
    (global.set $seq (local.get $seq))
    (global.set $bidder (local.get $bidder))
    (global.set $bidder-len (local.get $bidder-len))
    (global.set $closed (local.get $closed))
    (global.set $head (local.get $head))
    (if (i32.eqz (local.get $good)) (then (return (i32.const 16))))
    (call $answer (i32.const 0) (local.get $acceptances) (local.get $count)))

  ;; snapshot() -> option<list<u8>>: { 0 eight letters, 8 increment, 16 opening, 24 highest, 32 seq, 40 closed,
  ;; 48 head, 56 length of the scope, 60 of the bidder, then both }
  (func (export "atomic-store:validator/rules@1.0.0#snapshot") (result i32)
    (local $at i32)
    (call $begin)
    (call $put (call $magic))
    (local.set $at (call $new (i32.const 1) (i32.const 56)))
    (i64.store align=1 (local.get $at) (global.get $increment))
    (i64.store offset=8 align=1 (local.get $at) (global.get $opening))
    (i64.store offset=16 align=1 (local.get $at) (global.get $highest))
    (i64.store offset=24 align=1 (local.get $at) (global.get $seq))
    (i64.store offset=32 align=1 (local.get $at) (global.get $closed))
    (i64.store offset=40 align=1 (local.get $at) (global.get $head))
    (i32.store offset=48 align=1 (local.get $at) (i32.load (i32.const 320)))
    (i32.store offset=52 align=1 (local.get $at) (global.get $bidder-len))
    (call $put (i32.const 324) (i32.load (i32.const 320)))
    (call $put (global.get $bidder) (global.get $bidder-len))
    (call $answer (i32.const 1) (call $written)))

  ;; -1, or an amount.
  (func $is-amount (param $cents i64) (result i32)
    (i64.le_u (i64.add (local.get $cents) (i64.const 1)) (i64.const 1000000000000)))

  ;; Takes the state out of a snapshot; 0 if it is none of this scope, or cannot be a state.
  (func $take-snapshot (param $at i32) (param $len i32) (result i32)
    (local $scope-len i32)
    (local.set $scope-len (i32.load (i32.const 320)))
    (if (i32.lt_u (local.get $len) (i32.add (i32.const 64) (local.get $scope-len)))
      (then (return (i32.const 0))))
    (if (i32.eqz (call $same (local.get $at) (i32.const 8) (call $magic))) (then (return (i32.const 0))))
    (if (i32.eqz (call $same (i32.const 324) (local.get $scope-len)
          (i32.add (local.get $at) (i32.const 64)) (i32.load offset=56 align=1 (local.get $at))))
      (then (return (i32.const 0))))
    (if (i64.ne (global.get $increment) (i64.load offset=8 align=1 (local.get $at))) (then (return (i32.const 0))))
    (global.set $opening (i64.load offset=16 align=1 (local.get $at)))
    (global.set $highest (i64.load offset=24 align=1 (local.get $at)))
    (global.set $seq (i64.load offset=32 align=1 (local.get $at)))
    (global.set $closed (i64.load offset=40 align=1 (local.get $at)))
    (global.set $head (i64.load offset=48 align=1 (local.get $at)))
    (global.set $bidder-len (i32.load offset=60 align=1 (local.get $at)))
    (global.set $bidder (i32.add (local.get $at) (i32.add (i32.const 64) (local.get $scope-len))))
    (if (i32.ne (global.get $bidder-len)
          (i32.sub (local.get $len) (i32.add (i32.const 64) (local.get $scope-len))))
      (then (return (i32.const 0))))
    (i32.and
      (i32.and (call $is-amount (global.get $opening)) (call $is-amount (global.get $highest)))
      (i32.and
        (call $utf8 (global.get $bidder) (global.get $bidder-len))
        (i32.and
          (i64.le_u (global.get $seq) (global.get $head))
          (i64.le_u (global.get $closed) (global.get $head))))))

  ;; restore(scope, config, snapshot) -> result<_, string>
  (func (export "atomic-store:validator/rules@1.0.0#restore")
      (param $scope i32) (param $scope-len i32) (param $configured i32) (param $config i32) (param $config-len i32)
      (param $snapshot i32) (param $snapshot-len i32) (result i32)
    (local $answer i32)
    (local.set $answer (call $init (local.get $scope) (local.get $scope-len)
      (local.get $configured) (local.get $config) (local.get $config-len)))
    (if (i32.load (local.get $answer)) (then (return (local.get $answer))))
    (if (i32.eqz (call $take-snapshot (local.get $snapshot) (local.get $snapshot-len)))
      (then (return (call $answer (i32.const 1) (call $bad-snapshot)))))
    (call $keep-bidder)
    (local.get $answer))

  ;; query(name, args) -> result<list<u8>, string>
  (func (export "atomic-store:validator/rules@1.0.0#query")
      (param $name i32) (param $name-len i32) (param $args i32) (param $args-len i32) (result i32)
    (call $begin)
    (if (i32.eqz (call $same (local.get $name) (local.get $name-len) (call $highest))) (then
      (call $put (call $no-query-1))
      (call $put (local.get $name) (local.get $name-len))
      (call $put (call $no-query-2))
      (return (call $answer (i32.const 1) (call $sentence)))))
    (if (i64.lt_s (global.get $highest) (i64.const 0))
      (then (return (call $answer (i32.const 0) (call $null)))))
    (call $put (call $highest-1))
    (call $put-money (global.get $highest))
    (call $put (call $highest-2))
    (call $put-string (global.get $bidder) (global.get $bidder-len))
    (call $put (call $highest-3))
    (call $put-number (global.get $seq))
    (call $put (call $brace))
    (call $answer (i32.const 0) (call $written)))

  ;; After each answer has been read: the memory of the call is free again.
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#init") (param i32) (call $end-call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#restore") (param i32) (call $end-call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#validate") (param i32) (call $end-call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#snapshot") (param i32) (call $end-call))
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#query") (param i32) (call $end-call)))
