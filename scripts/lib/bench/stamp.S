/* A static program that notes when it began (CLOCK_MONOTONIC, struct timespec at `stamp`), and waits until it is killed. */
	.globl _start, stamp
_start:
	mov $228, %eax /* clock_gettime */
	mov $1, %edi
	lea stamp(%rip), %rsi
	syscall
1:	mov $34, %eax /* pause */
	syscall
	jmp 1b
	.bss
	.balign 8
stamp:	.skip 16
	.section .note.GNU-stack, "", @progbits
