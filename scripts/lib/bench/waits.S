/* A static program of 32 bits that waits for SIGTERM and ends. */
	.globl _start
_start:
	mov $175, %eax /* rt_sigprocmask, SIG_BLOCK: PID 1 of a namespace does not even get what it neither blocks nor handles */
	xor %ebx, %ebx
	mov $set, %ecx
	xor %edx, %edx
	mov $8, %esi
	int $0x80
	mov $177, %eax /* rt_sigtimedwait */
	mov $set, %ebx
	xor %ecx, %ecx
	xor %edx, %edx
	mov $8, %esi
	int $0x80
	mov $1, %eax /* exit */
	xor %ebx, %ebx
	int $0x80
	.section .rodata
set:	.quad 1 << 14
	.section .note.GNU-stack, "", @progbits
