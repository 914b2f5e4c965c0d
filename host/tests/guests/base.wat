;; A validator in 100 lines. `{{name}}` are the places that a test fills; see mod.rs.
;;
;; Memory: 0..256 constants, 256..1024 return areas, from 4096 the heap, emptied after each call.
(module
  (import "atomic-store:validator/history@1.0.0" "head" (func $head (result i64)))
  (import "atomic-store:validator/history@1.0.0" "read" (func $read (param i64 i32 i32)))
  (import "atomic-store:validator/log@1.0.0" "line" (func $line (param i32 i32 i32)))
  {{imports}}
  (memory $memory (export "memory") {{memory}})
  (global $heap (mut i32) (i32.const 4096))
  {{globals}}
  (data (i32.const 8) "guest")
  (data (i32.const 16) "1.0.0")
  (data (i32.const 24) "no")
  (data (i32.const 28) "\ff\fe")
  ;; description: name, version, no kinds
  (data (i32.const 32) "\08\00\00\00\05\00\00\00\10\00\00\00\05\00\00\00\00\00\00\00\00\00\00\00")
  ;; reason: code, message, no data, no seqs
  (data (i32.const 128) "\18\00\00\00\02\00\00\00\18\00\00\00\02\00\00\00")

  (func $alloc (export "cabi_realloc")
      (param $old i32) (param $old_len i32) (param $align i32) (param $len i32) (result i32)
    (local $at i32) (local $short i32)
    (local.set $at (i32.and
      (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
      (i32.sub (i32.const 0) (local.get $align))))
    (global.set $heap (i32.add (local.get $at) (local.get $len)))
    (local.set $short (i32.sub (global.get $heap) (i32.mul (memory.size) (i32.const 65536))))
    (if (i32.gt_s (local.get $short) (i32.const 0)) (then
      (if (i32.eq (i32.const -1) (memory.grow
            (i32.shr_u (i32.add (local.get $short) (i32.const 65535)) (i32.const 16))))
        (then unreachable))))
    (local.get $at))

  (func $reset (global.set $heap (i32.const 4096)))

  ;; Yes to n proposals: acceptances of 44 bytes, all zero.
  (func $accept (param $n i32) (result i32)
    (local $at i32)
    (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.mul (local.get $n) (i32.const 44))))
    (memory.fill (local.get $at) (i32.const 0) (i32.mul (local.get $n) (i32.const 44)))
    (i32.store8 (i32.const 256) (i32.const 0))
    (i32.store (i32.const 260) (local.get $at))
    (i32.store (i32.const 264) (local.get $n))
    (i32.const 256))

  ;; No, with the reason at 128, n times.
  (func $refuse (param $index i32) (param $n i32) (result i32)
    (local $at i32) (local $i i32)
    (local.set $at (call $alloc (i32.const 0) (i32.const 0) (i32.const 4)
      (i32.mul (local.get $n) (i32.const 36))))
    (block $done (loop $next
      (br_if $done (i32.eq (local.get $i) (local.get $n)))
      (memory.copy (i32.add (local.get $at) (i32.mul (local.get $i) (i32.const 36)))
        (i32.const 128) (i32.const 36))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br $next)))
    (i32.store8 (i32.const 256) (i32.const 1))
    (i32.store (i32.const 260) (local.get $index))
    (i32.store (i32.const 264) (local.get $at))
    (i32.store (i32.const 268) (local.get $n))
    (i32.store8 (i32.const 272) (i32.const 0))
    (i32.const 256))

  ;; A list in the case `$case` of a result or an option.
  (func $list (param $case i32) (param $at i32) (param $len i32) (result i32)
    (i32.store8 (i32.const 256) (local.get $case))
    (i32.store (i32.const 260) (local.get $at))
    (i32.store (i32.const 264) (local.get $len))
    (i32.const 256))

  {{functions}}

  (func (export "atomic-store:validator/rules@1.0.0#describe") (result i32) {{describe}})
  (func (export "atomic-store:validator/rules@1.0.0#init")
    (param $scope i32) (param $scope_len i32) (param $config i32) (param $at i32) (param $len i32)
    (result i32) {{init}})
  (func (export "atomic-store:validator/rules@1.0.0#restore")
    (param $scope i32) (param $scope_len i32) (param $config i32) (param $at i32) (param $len i32)
    (param $snapshot i32) (param $snapshot_len i32) (result i32) {{restore}})
  (func (export "atomic-store:validator/rules@1.0.0#apply")
    (param $at i32) (param $len i32) {{apply}})
  (func (export "atomic-store:validator/rules@1.0.0#validate")
    (param $at i32) (param $len i32) (result i32) {{validate}})
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#validate") (param i32) call $reset)
  (func (export "atomic-store:validator/rules@1.0.0#snapshot") (result i32) {{snapshot}})
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#snapshot") (param i32) call $reset)
  (func (export "atomic-store:validator/rules@1.0.0#query")
    (param $name i32) (param $name_len i32) (param $at i32) (param $len i32)
    (result i32) {{query}})
  (func (export "cabi_post_atomic-store:validator/rules@1.0.0#query") (param i32) call $reset)
)
