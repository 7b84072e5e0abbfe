;; Integer dot products of one query with chosen rows: the first pass of vector-arena.ts.
;; The compiled module is in quantised-scan.ts; its test compiles this file and compares.
(module
  (import "env" "memory" (memory 1))
  (func (export "scan")
    (param $query i32)     ;; address of the query: rowBytes 16-bit integers
    (param $numbers i32)   ;; address of `count` row numbers (32-bit)
    (param $count i32)
    (param $rows i32)      ;; address of row 0: rowBytes 8-bit integers each
    (param $rowBytes i32)  ;; a multiple of 16, more than 0
    (param $results i32)   ;; address of `count` sums (32-bit)
    (local $last i32) (local $row i32) (local $rowEnd i32) (local $part i32)
    (local $even v128) (local $odd v128)
    (local.set $last
      (i32.add (local.get $numbers) (i32.shl (local.get $count) (i32.const 2))))
    (block $done
      (loop $nextItem
        (br_if $done (i32.ge_u (local.get $numbers) (local.get $last)))
        (local.set $row
          (i32.add (local.get $rows) (i32.mul (i32.load (local.get $numbers)) (local.get $rowBytes))))
        (local.set $rowEnd (i32.add (local.get $row) (local.get $rowBytes)))
        (local.set $part (local.get $query))
        (local.set $even (v128.const i32x4 0 0 0 0))
        (local.set $odd (v128.const i32x4 0 0 0 0))
        (loop $nextPart
          (local.set $even
            (i32x4.add (local.get $even)
              (i32x4.dot_i16x8_s (v128.load8x8_s (local.get $row)) (v128.load (local.get $part)))))
          (local.set $odd
            (i32x4.add (local.get $odd)
              (i32x4.dot_i16x8_s
                (v128.load8x8_s offset=8 (local.get $row))
                (v128.load offset=16 (local.get $part)))))
          (local.set $row (i32.add (local.get $row) (i32.const 16)))
          (local.set $part (i32.add (local.get $part) (i32.const 32)))
          (br_if $nextPart (i32.lt_u (local.get $row) (local.get $rowEnd))))
        (local.set $even (i32x4.add (local.get $even) (local.get $odd)))
        (i32.store (local.get $results)
          (i32.add
            (i32.add
              (i32x4.extract_lane 0 (local.get $even))
              (i32x4.extract_lane 1 (local.get $even)))
            (i32.add
              (i32x4.extract_lane 2 (local.get $even))
              (i32x4.extract_lane 3 (local.get $even)))))
        (local.set $results (i32.add (local.get $results) (i32.const 4)))
        (local.set $numbers (i32.add (local.get $numbers) (i32.const 4)))
        (br $nextItem)))))
